// A shard's checkpoints: what is refused, what is never half done, and pushes that
// run meanwhile. (What every store does: the store contract.)

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "kernels/base/incarnation.h"
#include "kernels/shard/checkpoint_directory.h"
#include "kernels/shard/shard.h"
#include "kernels/testing/checkpoint_site.h"
#include "kernels/testing/local_deployment.h"
#include "kernels/testing/owned_request.h"
#include "kernels/testing/wrapped_store.h"

namespace het {
namespace {

TableSpec Spec(const std::string& name = "t") {
  TableSpec spec;
  spec.name = name;
  spec.dimension = 2;
  spec.initializer = {"zeros", {}};
  return spec;
}

class ShardCheckpoint : public testing::Test {
 protected:
  ShardCheckpoint() { Start({}); }
  void Start(const Shard::Options& options) {
    shard_ = std::make_shared<Shard>(options);
    EXPECT_TRUE(shard_->CreateTable(Spec()).ok());
    worker_ = NewWorker();
  }
  std::shared_ptr<EmbeddingStore> NewWorker() {
    return std::make_shared<NumberingStore>(shard_, DrawIncarnation(),
                                            shard_->incarnation());
  }
  void Push(RowId first, RowId end, EmbeddingStore* store = nullptr) {
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(Spec().id());
    for (RowId id = first; id < end; ++id) table.Push(id, 1, 1, {-1, -2});
    const auto reply = ExchangeAndWait(store != nullptr ? *store : *worker_,
                                       request.request());
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
  }
  float Value(RowId id) {
    OwnedRequest request;
    request.Add(Spec().id()).Fetch(id);
    const auto reply = ExchangeAndWait(*worker_, request.request());
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    const RowView& row = reply->tables[0].fetched[0];
    return row.initial ? 0 : row.values[0];
  }
  static void ExpectRefused(const Status& status, StatusCode code,
                            const std::string& why) {
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.message().find(why), std::string::npos)
        << status.ToString();
  }

  CheckpointSite site_;
  std::shared_ptr<Shard> shard_;
  std::shared_ptr<EmbeddingStore> worker_;
};

TEST_F(ShardCheckpoint, RefusesNamesThatCouldLeaveTheDirectory) {
  for (const char* name : {"", "..", ".hidden", "a/b", "a b", "-a"}) {
    ExpectRefused(site_.Save(*shard_, name).status(),
                  StatusCode::kInvalidArgument, "cannot have the name");
    ExpectRefused(site_.Load(*shard_, {{name, 1}}).status(),
                  StatusCode::kInvalidArgument, "cannot have the name");
  }
  EXPECT_FALSE(site_.Save(*shard_, std::string(129, 'a')).ok());
  EXPECT_TRUE(site_.Save(*shard_, std::string(128, 'a')).ok());
}

TEST_F(ShardCheckpoint, RefusesADirectoryThatIsNotTheWorkers) {
  SnapshotRequest request = site_.Snapshot("a");
  request.place.directory = "";
  ExpectRefused(shard_->Snapshot(request).status(),
                StatusCode::kFailedPrecondition, "--checkpoint-dir");
  request = site_.Snapshot("a");
  request.place.mark = "another";
  ExpectRefused(shard_->Snapshot(request).status(),
                StatusCode::kFailedPrecondition, "has the mark");
  request = site_.Snapshot("a");
  request.place.directory += "/nowhere";
  ExpectRefused(shard_->Snapshot(request).status(),
                StatusCode::kFailedPrecondition, "there is no");
}

TEST_F(ShardCheckpoint, AnIncrementNeedsTheLastOneOfThisShard) {
  Push(0, 10);
  ExpectRefused(site_.Save(*shard_, "b", "a").status(),
                StatusCode::kFailedPrecondition, "has written none");
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  ASSERT_TRUE(site_.Save(*shard_, "b", "a").ok());
  ExpectRefused(site_.Save(*shard_, "c", "a").status(),
                StatusCode::kFailedPrecondition, "is 'b'");
  // After a restore too: the rows are others.
  ASSERT_TRUE(site_.Load(*shard_, {{"a", 1}, {"b", 1}}).ok());
  ExpectRefused(site_.Save(*shard_, "c", "b").status(),
                StatusCode::kFailedPrecondition, "has written none");
}

TEST_F(ShardCheckpoint, ACallOfTheSameNameIsANewOne) {
  Push(0, 10);
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  Push(0, 20);
  const auto progress = site_.Save(*shard_, "a");
  ASSERT_TRUE(progress.ok());
  EXPECT_EQ(progress->rows, 20);
  ASSERT_TRUE(site_.Load(*shard_, {{"a", 1}}).ok());
  EXPECT_EQ(Value(0), 2);
}

TEST_F(ShardCheckpoint, TablesAndRowsThatCameLaterAreGoneAfterARestore) {
  Push(0, 10);
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  Push(0, 20);
  ASSERT_TRUE(shard_->CreateTable(Spec("later")).ok());
  const std::vector<RowId> ids = {5};
  const std::vector<float> rows = {1, 2};
  ASSERT_TRUE(shard_->Assign(Spec("later").id(), 0, ids, rows).ok());
  ASSERT_TRUE(site_.Load(*shard_, {{"a", 1}}).ok());
  EXPECT_EQ(Value(0), 1);
  EXPECT_EQ(Value(15), 0);
  const auto stats = shard_->Stats();
  ASSERT_EQ(stats->front().tables.size(), 2u);
  EXPECT_EQ(stats->front().tables[0].rows, 0);
  EXPECT_EQ(stats->front().tables[1].rows, 10);
}

TEST_F(ShardCheckpoint, WithoutItsCommitARestoreChangesNothing) {
  Push(0, 10);
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  Push(0, 10);
  RestoreRequest request = site_.Restore({{"a", 1}});
  while (true) {
    const auto progress = shard_->Restore(request);
    ASSERT_TRUE(progress.ok());
    if (progress->done) break;
  }
  EXPECT_EQ(Value(0), 2);
  request.commit = true;
  ASSERT_TRUE(shard_->Restore(request).ok());
  EXPECT_EQ(Value(0), 1);
  Push(0, 10);
  ASSERT_TRUE(shard_->Restore(request).ok());  // a repeat does it no second time
  EXPECT_EQ(Value(0), 2);
  // Who has not read it yet reads first.
  request = site_.Restore({{"a", 1}});
  request.commit = true;
  while (true) {
    const auto progress = shard_->Restore(request);
    ASSERT_TRUE(progress.ok());
    if (progress->done) break;
  }
  ASSERT_TRUE(shard_->Restore(request).ok());
  EXPECT_EQ(Value(0), 1);
}

TEST_F(ShardCheckpoint, ADamagedOrMissingFileLeavesTheRowsAsTheyWere) {
  Push(0, 1000);
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  Push(0, 10);
  ASSERT_TRUE(site_.Save(*shard_, "b", "a").ok());
  Push(0, 10);
  const std::string file = site_.FileOf("b");
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(-30, std::ios::end)
      .put('\x7f');
  const Status damaged = site_.Load(*shard_, {{"a", 1}, {"b", 1}}).status();
  ExpectRefused(damaged, StatusCode::kDataLoss, file);
  EXPECT_EQ(Value(0), 3);
  std::filesystem::remove(file);
  ExpectRefused(site_.Load(*shard_, {{"a", 1}, {"b", 1}}).status(),
                StatusCode::kNotFound, file);
  EXPECT_EQ(Value(0), 3);
  ASSERT_TRUE(site_.Load(*shard_, {{"a", 1}}).ok());
  EXPECT_EQ(Value(0), 1);
}

TEST_F(ShardCheckpoint, AnIncrementWithoutWhatItBuildsOnIsRefused) {
  Push(0, 10);
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  Push(0, 1);
  ASSERT_TRUE(site_.Save(*shard_, "b", "a").ok());
  ExpectRefused(site_.Load(*shard_, {{"b", 1}}).status(),
                StatusCode::kFailedPrecondition, "not in the chain");
  EXPECT_EQ(Value(0), 2);
}

TEST_F(ShardCheckpoint, AnotherModelsCheckpointIsRefused) {
  Push(0, 10);
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  Shard other;
  TableSpec spec = Spec();
  spec.dimension = 3;
  ASSERT_TRUE(other.CreateTable(spec).ok());
  ExpectRefused(site_.Load(other, {{"a", 1}}).status(),
                StatusCode::kFailedPrecondition, "dimension 3, asked for 2");
}

TEST_F(ShardCheckpoint, AnOptimizerThatComesLaterFindsTheRows) {
  TableSpec spec = Spec("plain");
  spec.optimizer = {"none", {}};
  ASSERT_TRUE(shard_->CreateTable(spec).ok());
  const std::vector<RowId> ids = {5};
  const std::vector<float> rows = {1, 2};
  ASSERT_TRUE(shard_->Assign(spec.id(), 0, ids, rows).ok());
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  spec.optimizer = {"adagrad", {}};
  ASSERT_TRUE(shard_->CreateTable(spec).ok());
  // Rows of the table are others now: the increment has all of them.
  ASSERT_TRUE(site_.Save(*shard_, "b", "a").ok());
  for (const auto& chain : std::vector<std::vector<RestoreRequest::Part>>{
           {{"a", 1}}, {{"a", 1}, {"b", 1}}}) {
    Shard fresh;
    ASSERT_TRUE(fresh.CreateTable(spec).ok());
    const auto progress = site_.Load(fresh, chain);
    ASSERT_TRUE(progress.ok()) << progress.status().ToString();
    NumberingStore reader(std::shared_ptr<Shard>(&fresh, [](Shard*) {}), 1,
                          fresh.incarnation());
    OwnedRequest request;
    request.Add(spec.id()).Fetch(5).Push(5, 1, 1, {1, 1});
    const auto reply = ExchangeAndWait(reader, request.request());
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_LT(reply->tables[0].fetched[0].values[0], 1);
  }
}

TEST_F(ShardCheckpoint, ACutComesBetweenExchanges) {
  // Every exchange pushes the same to all rows, in two tables: in a checkpoint
  // they are equal.
  ASSERT_TRUE(shard_->CreateTable(Spec("u")).ok());
  constexpr RowId kRows = 300;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      const auto store = NewWorker();
      while (!stop) {
        OwnedRequest request;
        for (const char* name : {"t", "u"}) {
          OwnedRequest::Table& table = request.Add(Spec(name).id());
          for (RowId id = 0; id < kRows; ++id) table.Push(id, 1, 1, {-1, -1});
        }
        ASSERT_TRUE(ExchangeAndWait(*store, request.request()).ok());
      }
    });
  }
  std::vector<std::string> names;
  for (int i = 0; i < 30; ++i) {
    const std::string name = "c" + std::to_string(i);
    const auto progress =
        site_.Save(*shard_, name, i % 3 == 0 ? "" : names.back());
    ASSERT_TRUE(progress.ok()) << progress.status().ToString();
    names.push_back(name);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (int full = 0; full < 30; full += 3) {
    std::vector<RestoreRequest::Part> chain;
    for (int i = full; i < full + 3; ++i) {
      chain.push_back({names[static_cast<std::size_t>(i)], 1});
      Shard fresh;
      ASSERT_TRUE(site_.Load(fresh, chain).ok());
      OwnedRequest request;
      request.header = {1, fresh.incarnation(), 1};
      for (const char* name : {"t", "u"}) {
        OwnedRequest::Table& table = request.Add(Spec(name).id());
        for (RowId id = 0; id < kRows; ++id) table.Fetch(id);
      }
      const auto reply = ExchangeAndWait(fresh, request.request());
      ASSERT_TRUE(reply.ok()) << reply.status().ToString();
      const auto value = [&](std::size_t table, std::size_t row) {
        const RowView& view = reply->tables[table].fetched[row];
        return view.initial ? 0.0f : view.values[1];
      };
      for (std::size_t row = 0; row < kRows; ++row) {
        ASSERT_EQ(value(0, row), value(0, 0));
        ASSERT_EQ(value(1, row), value(0, 0));
      }
    }
  }
}

TEST_F(ShardCheckpoint, TrainingDoesNotWaitForADiskForever) {
  Shard::Options options;
  options.max_kept_bytes = 1000;
  options.disk_patience = std::chrono::milliseconds(1);
  Start(options);
  Push(0, 2000);
  // A disk that takes nothing until somebody reads.
  std::filesystem::create_directory(site_.directory() + "/slow");
  const std::string pipe = site_.FileOf("slow") + ".tmp";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const SnapshotRequest request = site_.Snapshot("slow");
  ASSERT_TRUE(shard_->Snapshot(request).ok());
  ExpectRefused(shard_->Snapshot(site_.Snapshot("other")).status(),
                StatusCode::kFailedPrecondition, "busy with checkpoint 'slow'");
  for (int i = 0; i < 3; ++i) Push(0, 2000);
  std::thread reader([&] {
    std::ifstream in(pipe, std::ios::binary);
    std::string(std::istreambuf_iterator<char>(in), {});
  });
  ExpectRefused(CheckpointSite::Wait(*shard_, request).status(),
                StatusCode::kResourceExhausted, "given up");
  reader.join();
  EXPECT_EQ(Value(0), 4);
  // The next one is complete.
  ASSERT_TRUE(site_.Save(*shard_, "next").ok());
  ASSERT_TRUE(site_.Load(*shard_, {{"next", 1}}).ok());
  EXPECT_EQ(Value(0), 4);
}

TEST_F(ShardCheckpoint, TheEndOfAShardEndsItsSnapshot) {
  Push(0, 2000);
  std::filesystem::create_directory(site_.directory() + "/cut");
  ASSERT_TRUE(shard_->Snapshot(site_.Snapshot("cut")).ok());
  worker_.reset();
  shard_.reset();
  // Written or not, never half.
  Shard fresh;
  const auto progress = site_.Load(fresh, {{"cut", 1}});
  if (progress.ok()) {
    EXPECT_EQ(progress->rows, 2000);
  } else {
    EXPECT_EQ(progress.status().code(), StatusCode::kNotFound);
  }
}

TEST(FilesWithRowsOf, AreThoseWhosePartitionsOverlap) {
  using Files = std::vector<std::size_t>;
  EXPECT_EQ(FilesWithRowsOf(0, 1, 3), (Files{0, 1, 2}));
  EXPECT_EQ(FilesWithRowsOf(1, 3, 3), (Files{1}));
  EXPECT_EQ(FilesWithRowsOf(0, 3, 2), (Files{0}));
  EXPECT_EQ(FilesWithRowsOf(1, 3, 2), (Files{0, 1}));
  EXPECT_EQ(FilesWithRowsOf(2, 3, 1), (Files{0}));
}

}  // namespace
}  // namespace het
