// A shard with a log: whenever it ends, it comes back with every update that was
// acknowledged, and no repeat is applied twice.

#include <thread>

#include "kernels/shard/shard_recovery_fixture.h"

namespace het {
namespace {

TEST_F(ShardRecovery, ComesBackAsItWasAgainAndAgain) {
  Shard twin;
  ASSERT_TRUE(twin.CreateTable(Spec("a")).ok());
  ASSERT_TRUE(twin.CreateTable(Spec("b")).ok());
  const Incarnation incarnation = shard_->incarnation();
  std::uint64_t sequence = 0;
  for (int life = 0; life < 20; ++life) {
    for (int i = 0; i < 10; ++i) {
      const auto request = Request(++sequence);
      ASSERT_TRUE(Send(*request).ok());
      request->header.shard = twin.incarnation();
      ASSERT_TRUE(ExchangeAndWait(twin, request->request()).ok());
    }
    Open();
    ASSERT_EQ(shard_->incarnation(), incarnation);
    ASSERT_EQ(Rows(*shard_), Rows(twin)) << "life " << life;
  }
}

TEST_F(ShardRecovery, ARepeatOfWhatWasAppliedBeforeTheEndIsRecognised) {
  const auto first = Request(1), second = Request(2);
  ASSERT_TRUE(Send(*first).ok());
  ASSERT_TRUE(Send(*second).ok());
  const auto before = Rows(*shard_);
  Open();
  ASSERT_TRUE(Send(*second).ok());
  ASSERT_TRUE(Send(*first).ok());
  EXPECT_EQ(Rows(*shard_), before);
  EXPECT_EQ(shard_->Stats()->front().repeated_exchanges, 2);
  // And the next one is the next one.
  EXPECT_TRUE(Send(*Request(3)).ok());
}

TEST_F(ShardRecovery, ARepeatOfWhatIsInTheCheckpointIsRecognised) {
  const auto first = Request(1), second = Request(2);
  ASSERT_TRUE(Send(*first).ok());
  ASSERT_TRUE(Send(*second).ok());
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  const auto before = Rows(*shard_);
  Open();
  ASSERT_TRUE(Send(*second).ok());
  EXPECT_EQ(Rows(*shard_), before);
}

TEST_F(ShardRecovery, NumbersOfReadsAndRefusedExchangesAreTaken) {
  OwnedRequest read;
  read.Add(Spec("a").id()).Fetch(1);
  read.header = {7, shard_->incarnation(), 1};
  ASSERT_TRUE(Send(read).ok());
  OwnedRequest refused;
  refused.Add(12345).Push(1, 1, 1, {1, 1});
  refused.header = {7, shard_->incarnation(), 2};
  ASSERT_EQ(Send(refused).code(), StatusCode::kNotFound);
  Open();
  EXPECT_TRUE(Send(*Request(3)).ok());
}

TEST_F(ShardRecovery, AssignedRowsAndSynchronousTablesComeBack) {
  ASSERT_TRUE(shard_->CreateTable(Spec("s", true)).ok());
  const std::vector<RowId> ids = {3, 5};
  const std::vector<float> values = {1, 2, 3, 4};
  ASSERT_TRUE(shard_->Assign(Spec("a").id(), 4, ids, values).ok());
  for (std::uint64_t round = 1; round <= 3; ++round) {
    for (const Incarnation worker : {7, 8}) {
      OwnedRequest request;
      OwnedRequest::Table& table = request.Add(Spec("s").id());
      table.Push(1, static_cast<Clock>(round), 0.5f, {1, 2});
      table.round = round;
      request.header = {worker, shard_->incarnation(), round};
      ASSERT_TRUE(Send(request).ok());
    }
  }
  const auto synchronous_row = [this] {
    OwnedRequest request;
    request.Add(Spec("s").id()).Fetch(1);
    request.header = {DrawIncarnation(), shard_->incarnation(), 1};
    const auto reply = ExchangeAndWait(*shard_, request.request());
    EXPECT_TRUE(reply.ok());
    const RowView& view = reply->tables[0].fetched[0];
    return std::vector<float>(view.values, view.values + 2);
  };
  const auto before = Rows(*shard_);
  const auto row = synchronous_row();
  Open();
  EXPECT_EQ(Rows(*shard_), before);
  EXPECT_EQ(synchronous_row(), row);
}

TEST_F(ShardRecovery, ADroppedTableStaysDroppedAndAnotherOfItsNameIsNew) {
  for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) {
    ASSERT_TRUE(Send(*Request(sequence)).ok());
  }
  ASSERT_TRUE(shard_->DropTable("b").ok());
  EXPECT_EQ(shard_->DropTable("b").code(), StatusCode::kNotFound);
  Open();
  EXPECT_EQ(shard_->Stats()->front().tables.size(), 1u);
  EXPECT_EQ(Send(*Request(21)).code(), StatusCode::kNotFound);
  ASSERT_TRUE(shard_->CreateTable(Spec("b")).ok());
  Open();
  const ShardStats stats = shard_->Stats()->front();
  ASSERT_EQ(stats.tables.size(), 2u);
  EXPECT_GT(stats.tables[0].rows, 0);
  EXPECT_EQ(stats.tables[1].rows, 0);
  EXPECT_TRUE(Send(*Request(22)).ok());
}

TEST_F(ShardRecovery, ARefusedExchangeStaysRefusedOverRestartsAndCheckpoints) {
  options_.max_memory_bytes = 64;  // no row at all
  Open();
  auto push = std::make_unique<OwnedRequest>();
  push->Add(Spec("a").id()).Push(1, 1, 1, {1, 1}).Push(2, 1, 1, {1, 1});
  push->header = {7, shard_->incarnation(), 1};
  ASSERT_EQ(Send(*push).code(), StatusCode::kResourceExhausted);
  options_.max_memory_bytes = 0;  // as its message says
  for (int again = 0; again < 3; ++again) {
    Open();
    const Status status = Send(*push);
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << again;
    EXPECT_NE(status.message().find("--max-memory"), std::string::npos);
    const auto saved = site_.Save(*shard_, "c" + std::to_string(again));
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
  }
  EXPECT_EQ(shard_->Stats()->front().tables[0].rows, 0);
  push->header.sequence = 2;
  EXPECT_TRUE(Send(*push).ok());
}

TEST_F(ShardRecovery, LimitsDoNotKeepAShardFromComingBack) {
  const std::vector<RowId> ids = {1, 2, 3};
  const std::vector<float> rows(6, 1);
  ASSERT_TRUE(shard_->Assign(Spec("a").id(), 0, ids, rows).ok());
  ASSERT_TRUE(Send(*Request(1)).ok());
  options_.max_memory_bytes = 1;
  options_.max_tables = 1;
  options_.max_dimension = 1;
  options_.max_workers = 1;
  Open();
  EXPECT_EQ(shard_->Stats()->front().tables.size(), 2u);
}

TEST_F(ShardRecovery, ARoundThatIsOpenStaysOpenOverRestarts) {
  Shard twin;
  for (Shard* shard : {shard_.get(), &twin}) {
    ASSERT_TRUE(shard->CreateTable(Spec("s", true)).ok());
  }
  const auto push = [&](Shard& shard, Incarnation worker) {
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(Spec("s").id());
    table.Push(1, 1, 0.5f, {1, 2});
    table.round = 1;
    request.header = {worker, shard.incarnation(), 1};
    EXPECT_TRUE(ExchangeAndWait(shard, request.request()).ok());
  };
  const auto row = [&](Shard& shard) {
    OwnedRequest request;
    request.Add(Spec("s").id()).Fetch(1);
    request.header = {DrawIncarnation(), shard.incarnation(), 1};
    const auto reply = ExchangeAndWait(shard, request.request());
    EXPECT_TRUE(reply.ok());
    const float* values = reply->tables[0].fetched[0].values;
    return std::vector<float>(values, values + 2);
  };
  push(*shard_, 7);
  Open();
  push(*shard_, 8);
  Open();
  Open();
  push(twin, 7);
  push(twin, 8);
  EXPECT_EQ(row(*shard_), row(twin));
}

TEST_F(ShardRecovery, FromACheckpointAndTheLogSinceThen) {
  std::uint64_t sequence = 0;
  std::string last;
  for (int cut = 0; cut < 8; ++cut) {
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(Send(*Request(++sequence)).ok());
    if (cut != 4) {
      const std::string name = "c" + std::to_string(cut);
      const auto saved =
          site_.Save(*shard_, name, cut % 3 == 0 || cut == 5 ? "" : last);
      ASSERT_TRUE(saved.ok()) << saved.status().ToString();
      last = name;
    }
    ASSERT_TRUE(Send(*Request(++sequence)).ok());
    const auto before = Rows(*shard_);
    if (cut >= 4) {
      // Whoever keeps the last checkpoints takes the old ones away.
      for (int old = 0; old < cut; ++old) {
        fs::remove_all(site_.directory() + "/c" + std::to_string(old));
      }
    }
    if (cut % 2 == 1) continue;  // the next cut comes without an end between
    Open();
    ASSERT_EQ(Rows(*shard_), before) << "cut " << cut;
    // What has changed since a checkpoint of an earlier life it cannot tell.
    last = "";
    ++cut;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(Send(*Request(++sequence)).ok());
  }
}

TEST_F(ShardRecovery, AShardThatWasRestartedWritesNoCheckpointOfALaterMoment) {
  ASSERT_TRUE(Send(*Request(1)).ok());
  SnapshotRequest request = site_.Snapshot("a");
  ASSERT_TRUE(shard_->Snapshot(request).ok());
  Open();
  ASSERT_TRUE(Send(*Request(2)).ok());
  request.begin = false;
  const Status status = shard_->Snapshot(request).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("has been restarted"), std::string::npos)
      << status.ToString();
}

TEST_F(ShardRecovery, ACheckpointMakesTheLogBeforeItSuperfluous) {
  for (std::uint64_t i = 1; i <= 50; ++i) ASSERT_TRUE(Send(*Request(i)).ok());
  const std::string before = Segment();
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  EXPECT_FALSE(fs::exists(before));
  ASSERT_TRUE(Send(*Request(51)).ok());
  const auto rows = Rows(*shard_);
  ASSERT_TRUE(site_.Save(*shard_, "b", "a").ok());
  Open();
  EXPECT_EQ(Rows(*shard_), rows);
}

TEST_F(ShardRecovery, ARestoreIsPartOfWhatComesBack) {
  for (std::uint64_t i = 1; i <= 5; ++i) ASSERT_TRUE(Send(*Request(i)).ok());
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  const auto saved = Rows(*shard_);
  for (std::uint64_t i = 6; i <= 9; ++i) ASSERT_TRUE(Send(*Request(i)).ok());
  ASSERT_TRUE(site_.Load(*shard_, {{"a", 1}}).ok());
  Open();
  EXPECT_EQ(Rows(*shard_), saved);
  ASSERT_TRUE(Send(*Request(10)).ok());
  const auto later = Rows(*shard_);
  Open();
  EXPECT_EQ(Rows(*shard_), later);
}

TEST_F(ShardRecovery, PushesOfSeveralWorkersComeBackInTheirOrder) {
  // Adagrad's steps do not commute: another order is another row.
  std::vector<std::vector<std::unique_ptr<OwnedRequest>>> requests(3);
  for (std::size_t w = 0; w < requests.size(); ++w) {
    for (std::uint64_t i = 1; i <= 300; ++i) {
      requests[w].push_back(Request(i, 10 + w));
    }
  }
  std::vector<std::thread> workers;
  for (auto& mine : requests) {
    workers.emplace_back([&] {
      for (const auto& request : mine) ASSERT_TRUE(Send(*request).ok());
    });
  }
  for (std::thread& worker : workers) worker.join();
  const auto before = Rows(*shard_);
  Open();
  EXPECT_EQ(Rows(*shard_), before);
}

TEST_F(ShardRecovery, SeveralWorkersAtOnceAndCutsMeanwhile) {
  // Sums of whole numbers: whatever the order, the same rows.
  TableSpec spec = Spec("sum");
  spec.optimizer = {"sgd", {}};
  spec.initializer = {"zeros", {}};
  for (const Durability durability :
       {Durability::kPageCache, Durability::kSynced}) {
    options_.log_directory = site_.directory() + "/log-" +
                             std::to_string(static_cast<int>(durability));
    options_.durability = durability;
    Open();
    ASSERT_TRUE(shard_->CreateTable(spec).ok());
    std::vector<std::thread> workers;
    for (Incarnation worker = 1; worker <= 3; ++worker) {
      workers.emplace_back([&, worker] {
        for (std::uint64_t i = 1; i <= 100; ++i) {
          OwnedRequest request;
          OwnedRequest::Table& table = request.Add(spec.id());
          for (RowId id = 0; id < 50; ++id) table.Push(id, 1, 1, {-1, -2});
          request.header = {worker, shard_->incarnation(), i};
          ASSERT_TRUE(ExchangeAndWait(*shard_, request.request()).ok());
        }
      });
    }
    for (int cut = 0; cut < 5; ++cut) {
      const std::string name =
          "w" + std::to_string(static_cast<int>(durability)) + "-" +
          std::to_string(cut);
      const auto saved = site_.Save(*shard_, name);
      ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    }
    for (std::thread& worker : workers) worker.join();
    Open();
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(spec.id());
    for (RowId id = 0; id < 50; ++id) table.Fetch(id);
    request.header = {9, shard_->incarnation(), 1};
    const auto reply = ExchangeAndWait(*shard_, request.request());
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    for (const RowView& view : reply->tables[0].fetched) {
      ASSERT_EQ(view.values[0], 300);
      ASSERT_EQ(view.values[1], 600);
    }
  }
}

}  // namespace
}  // namespace het
