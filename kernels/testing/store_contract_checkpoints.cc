// The store contract: checkpoints.

#include "kernels/testing/local_deployment.h"
#include "kernels/testing/store_contract.h"

namespace het {

void internal::LinkStoreContractCheckpoints() {}

namespace {

using Chain = std::vector<RestoreRequest::Part>;

}  // namespace

TEST_P(StoreContract, ARestoreBringsBackTheRowsOfTheSnapshot) {
  CheckpointSite& site = deployment_->checkpoints();
  const TableSpec spec = AdagradTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  const auto push_all = [&](Clock clock) {
    for (const RowId id : AwkwardIds()) {
      Push(*store_, spec.id(), id, clock, {1, static_cast<float>(id % 7)});
    }
  };
  const auto fetch_all = [&] {
    std::vector<Row> rows;
    for (const RowId id : AwkwardIds()) {
      rows.push_back(Fetch(*store_, spec.id(), id));
    }
    return rows;
  };
  push_all(3);
  const std::vector<Row> before = fetch_all();
  const auto written = site.Save(*store_, "a");
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  EXPECT_EQ(written->rows, static_cast<std::int64_t>(AwkwardIds().size()));
  EXPECT_GT(written->bytes, written->rows * 32);
  push_all(5);
  Push(*store_, spec.id(), 424242, 1, {1, 1});
  EXPECT_NE(fetch_all()[0].values, before[0].values);
  const auto read = site.Load(*store_, {{"a", deployment_->shards()}});
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->rows, written->rows);
  const std::vector<Row> after = fetch_all();
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].values, before[i].values);
    EXPECT_EQ(after[i].clock, before[i].clock);
    EXPECT_EQ(after[i].step_scale, before[i].step_scale);
  }
  EXPECT_TRUE(Fetch(*store_, spec.id(), 424242).initial);
  EXPECT_EQ(StoredRows(*store_, "t"), written->rows);
  // Training goes on.
  Push(*store_, spec.id(), 1, 9, {1, 1});
  EXPECT_EQ(Fetch(*store_, spec.id(), 1).clock, 9);
}

TEST_P(StoreContract, AChainOfIncrementsIsRestoredAtAnyNumberOfShards) {
  CheckpointSite& site = deployment_->checkpoints();
  const TableSpec spec = AdagradTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  Chain chain;
  std::int64_t increments = 0;
  for (int cut = 0; cut < 5; ++cut) {
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(spec.id());
    // Clocks stay where they are after the first round: values alone change.
    for (RowId id = cut; id < 40 + 20 * cut; id += cut + 1) {
      table.Push(id, 6, 1, {1, static_cast<float>(cut)});
    }
    Exchange(*store_, request);
    const std::string name = "c" + std::to_string(cut);
    const auto progress =
        site.Save(*store_, name, cut == 0 ? "" : chain.back().name);
    ASSERT_TRUE(progress.ok()) << progress.status().ToString();
    if (cut > 0) increments += progress->rows;
    chain.push_back({name, deployment_->shards()});
  }
  EXPECT_LT(increments, 4 * 40);  // changed rows alone
  for (const std::size_t shards : {1, 2, 3}) {
    LocalDeployment::Options options;
    options.shards = shards;
    LocalDeployment other(options);
    const std::shared_ptr<EmbeddingStore> worker = other.NewWorker();
    ASSERT_TRUE(worker->CreateTable(spec).ok());
    const auto read = site.Load(*worker, chain);
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_EQ(StoredRows(*worker, "t"), StoredRows(*store_, "t"));
    for (RowId id = 0; id < 150; ++id) {
      const Row expected = Fetch(*store_, spec.id(), id);
      const Row row = Fetch(*worker, spec.id(), id);
      EXPECT_EQ(row.values, expected.values) << id;
      EXPECT_EQ(row.clock, expected.clock);
      EXPECT_EQ(row.step_scale, expected.step_scale);
      EXPECT_EQ(row.initial, expected.initial);
    }
  }
}

TEST_P(StoreContract, CheckpointsThatCannotBeAreRefused) {
  CheckpointSite& site = deployment_->checkpoints();
  ASSERT_TRUE(store_->CreateTable(PlainTable("t")).ok());
  EXPECT_EQ(site.Save(*store_, "../a").status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(site.Save(*store_, "b", "a").status().code(),
            StatusCode::kFailedPrecondition);
  SnapshotRequest elsewhere = site.Snapshot("a");
  elsewhere.place.mark = "another";
  EXPECT_EQ(store_->Snapshot(elsewhere).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(site.Load(*store_, {}).status().code(),
            StatusCode::kInvalidArgument);
  const Status missing = site.Load(*store_, {{"none", 1}}).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_NE(missing.message().find("none/shard-0-of-1.het"), std::string::npos)
      << missing.ToString();
  EXPECT_TRUE(site.Save(*store_, "a").ok());
}

}  // namespace het
