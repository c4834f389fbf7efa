// The store contract: tables, assignments, statistics, restarts.

#include <functional>
#include <limits>
#include <set>

#include "kernels/testing/store_contract.h"

namespace het {

void internal::LinkStoreContractAdministration() {}

// --- Administration. --------------------------------------------------------

TEST_P(StoreContract, CreateTableConfirmsTheSameSpecAndRefusesAnother) {
  const TableSpec spec = AdagradTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  EXPECT_TRUE(store_->CreateTable(spec).ok());
  const std::shared_ptr<EmbeddingStore> other = deployment_->NewWorker();
  EXPECT_TRUE(other->CreateTable(spec).ok());
  const auto refused = [&](const std::function<void(TableSpec&)>& change,
                           const std::string& field) {
    TableSpec changed = spec;
    change(changed);
    const Status status = other->CreateTable(changed);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << field;
    EXPECT_NE(status.message().find("'t'"), std::string::npos)
        << status.ToString();
    EXPECT_NE(status.message().find(field), std::string::npos)
        << status.ToString();
  };
  refused([](TableSpec& s) { s.dimension = 3; }, "dimension 2, asked for 3");
  refused([](TableSpec& s) { s.seed = 8; }, "seed 7, asked for 8");
  refused([](TableSpec& s) { s.optimizer = {"sgd", {}}; }, "optimizer");
  refused([](TableSpec& s) { s.optimizer.parameters = {{"epsilon", 0.5}}; },
          "epsilon");
  refused([](TableSpec& s) { s.initializer = {"zeros", {}}; }, "initializer");
  refused([](TableSpec& s) { s.synchronous = true; },
          "synchronous false, asked for true");
}

TEST_P(StoreContract, CreateTableRefusesASpecThatCannotBe) {
  const auto refused = [&](const std::function<void(TableSpec&)>& change) {
    TableSpec spec = PlainTable("t");
    change(spec);
    EXPECT_EQ(store_->CreateTable(spec).code(), StatusCode::kInvalidArgument);
  };
  refused([](TableSpec& s) { s.name = ""; });
  refused([](TableSpec& s) { s.dimension = 0; });
  refused([](TableSpec& s) { s.dimension = kMaxDimension + 1; });
  refused([](TableSpec& s) { s.optimizer = {"adam", {}}; });
  refused([](TableSpec& s) { s.initializer = {"orthogonal", {}}; });
  EXPECT_TRUE(store_->CreateTable(PlainTable("t")).ok());
}

TEST_P(StoreContract, ATableWithoutAnOptimizerTakesOneLater) {
  TableSpec spec = PlainTable("t");
  spec.optimizer = {"none", {}};
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  const std::vector<RowId> ids = {-3, 4};
  const std::vector<float> rows = {1, 2, 3, 4};
  ASSERT_TRUE(store_->Assign(spec.id(), 0, ids, rows).ok());
  OwnedRequest push;
  push.Add(spec.id()).Push(4, 1, 1, {1, 1});
  EXPECT_EQ(ExchangeStatus(*store_, push).code(),
            StatusCode::kInvalidArgument);
  TableSpec trained = spec;
  trained.optimizer = {"adagrad", {}};
  ASSERT_TRUE(store_->CreateTable(trained).ok());
  // Rows and clocks stay; who asks without an optimizer confirms the table.
  EXPECT_EQ(Fetch(*store_, spec.id(), 4).values, (std::vector<float>{3, 4}));
  EXPECT_GE(Fetch(*store_, spec.id(), -3).clock, 2);
  EXPECT_TRUE(deployment_->NewWorker()->CreateTable(spec).ok());
  Push(*store_, spec.id(), 4, 3, {1, 1});
  EXPECT_NE(Fetch(*store_, spec.id(), 4).values, (std::vector<float>{3, 4}));
  trained.optimizer = {"sgd", {}};
  EXPECT_EQ(store_->CreateTable(trained).code(), StatusCode::kInvalidArgument);
  trained.dimension = 5;
  trained.optimizer = {"none", {}};
  EXPECT_EQ(store_->CreateTable(trained).code(), StatusCode::kInvalidArgument);
}

TEST_P(StoreContract, AssignOverwritesRowsAndOutdatesEveryCopy) {
  const TableSpec spec = AdagradTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  Push(*store_, spec.id(), 1, 10, {5, 5});
  const float old_scale = Fetch(*store_, spec.id(), 1).step_scale;
  const Staleness s = 3;
  const std::vector<RowId> ids = {1, 2, std::numeric_limits<RowId>::min()};
  const std::vector<float> rows = {1, 2, 3, 4, 5, 6};
  ASSERT_TRUE(store_->Assign(spec.id(), s, ids, rows).ok());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(Fetch(*store_, spec.id(), ids[i]).values,
              (std::vector<float>{rows[2 * i], rows[2 * i + 1]}));
  }
  EXPECT_NE(Fetch(*store_, spec.id(), 1).step_scale, old_scale);
  EXPECT_EQ(Fetch(*store_, spec.id(), 1).step_scale,
            Fetch(*store_, spec.id(), 99).step_scale);
  // A copy made at clock 10 that wrote as often as it may is outdated.
  OwnedRequest request;
  request.Add(spec.id(), s).Validate(1, 10 + s + 1).Validate(2, s + 1);
  const ExchangeReply reply = Exchange(*store_, request);
  EXPECT_NE(reply.tables[0].validated[0].values, nullptr);
  EXPECT_NE(reply.tables[0].validated[1].values, nullptr);
}

TEST_P(StoreContract, AssignRefusesWhatDoesNotFit) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  const std::vector<RowId> ids = {1, 2};
  const std::vector<float> short_rows = {1, 2, 3}, rows = {1, 2, 3, 4};
  EXPECT_EQ(store_->Assign(spec.id(), 0, ids, short_rows).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Assign(spec.id(), -1, ids, rows).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Assign(999, 0, ids, rows).code(), StatusCode::kNotFound);
  EXPECT_EQ(StoredRows(*store_, "t"), 0);
  EXPECT_TRUE(store_->Assign(spec.id(), 0, {}, {}).ok());
}

TEST_P(StoreContract, StatsDescribeShardsAndTables) {
  const TableSpec spec = AdagradTable("b"), plain = PlainTable("a");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  ASSERT_TRUE(store_->CreateTable(plain).ok());
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec.id());
  for (RowId id = 0; id < 500; ++id) table.Push(id, 1, 1, {1, 1});
  Exchange(*store_, request);
  const auto stats = store_->Stats();
  ASSERT_TRUE(stats.ok());
  ASSERT_EQ(stats->size(), deployment_->shards());
  std::int64_t rows = 0;
  std::set<Incarnation> incarnations;
  for (const ShardStats& shard : *stats) {
    incarnations.insert(shard.incarnation);
    EXPECT_EQ(shard.workers, 1);
    EXPECT_GE(shard.exchanges, 1);
    EXPECT_GE(shard.uptime_seconds, 0);
    ASSERT_EQ(shard.tables.size(), 2u);
    EXPECT_EQ(shard.tables[0].name, "a");
    EXPECT_EQ(shard.tables[1].name, "b");
    EXPECT_EQ(shard.tables[1].dimension, 2u);
    EXPECT_NE(shard.tables[1].optimizer.find("adagrad"), std::string::npos);
    EXPECT_GT(shard.tables[1].rows, 0);
    EXPECT_GT(shard.tables[1].memory_bytes, shard.tables[1].rows * 32);
    rows += shard.tables[1].rows;
  }
  EXPECT_EQ(rows, 500);
  EXPECT_EQ(incarnations.size(), deployment_->shards());
  EXPECT_EQ(incarnations.count(0), 0u);
}

// --- Restarts. --------------------------------------------------------------

TEST_P(StoreContract, ARestartedWorkerIsNotTakenForARepeat) {
  const TableSpec spec = PlainTable("t");
  for (int life = 0; life < 3; ++life) {
    const std::shared_ptr<EmbeddingStore> worker = deployment_->NewWorker();
    ASSERT_TRUE(worker->CreateTable(spec).ok());
    for (int i = 0; i < 4; ++i) {
      OwnedRequest request;
      OwnedRequest::Table& table = request.Add(spec.id());
      for (RowId id = 0; id < 12; ++id) table.Push(id, i + 1, 1, {-1, 0});
      Exchange(*worker, request);
    }
  }
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  for (RowId id = 0; id < 12; ++id) {
    EXPECT_EQ(Fetch(*store_, spec.id(), id).values[0], 12.0f);
  }
}

TEST_P(StoreContract, ARestartedShardIsAnErrorThatSaysSo) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec.id());
  for (RowId id = 0; id < 30; ++id) table.Push(id, 1, 1, {-1, 0}).Fetch(id);
  Exchange(*store_, request);
  deployment_->RestartShard(deployment_->shards() - 1);
  const Status status = ExchangeStatus(*store_, request);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition)
      << status.ToString();
  EXPECT_NE(status.message().find("restarted"), std::string::npos)
      << status.ToString();
  // Whoever starts anew after the shard trains on.
  const std::shared_ptr<EmbeddingStore> fresh = deployment_->NewWorker();
  ASSERT_TRUE(fresh->CreateTable(spec).ok());
  Exchange(*fresh, request);
}

}  // namespace het
