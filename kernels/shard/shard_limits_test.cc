// What a shard refuses because it would be too much, and that nothing of it has
// been applied; dropping a table; what is counted of validated copies.

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "kernels/shard/shard.h"
#include "kernels/testing/checkpoint_site.h"
#include "kernels/testing/owned_request.h"

namespace het {
namespace {

class ShardLimits : public testing::Test {
 protected:
  ShardLimits() {
    spec_.name = "t";
    spec_.dimension = 4;
    spec_.initializer = {"zeros", {}};
  }
  void Open() {
    shard_ = std::make_shared<Shard>(options_);
    ASSERT_TRUE(shard_->CreateTable(spec_).ok());
  }
  // Pushes -1 to each id, and reads the first one.
  Result<ExchangeReply> Push(RowId first, RowId count, std::uint64_t sequence,
                             Incarnation worker = 7) {
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(spec_.id());
    for (RowId id = first; id < first + count; ++id) {
      table.Push(id, static_cast<Clock>(sequence), 1, {-1, -1, -1, -1});
    }
    table.Fetch(first);
    request.header = {worker, shard_->incarnation(), sequence};
    return ExchangeAndWait(*shard_, request.request());
  }
  std::int64_t Rows() { return shard_->Stats()->front().tables.at(0).rows; }
  static bool Says(const Status& status, const std::string& text) {
    return status.message().find(text) != std::string::npos;
  }

  Shard::Options options_;
  TableSpec spec_;
  std::shared_ptr<Shard> shard_;
};

TEST_F(ShardLimits, NewRowsBeyondTheMemoryAreRefusedWholeAndTheRestGoesOn) {
  options_.max_memory_bytes = std::size_t{8} << 20;
  Open();
  std::uint64_t sequence = 0;
  RowId rows = 0;
  Status status;
  while (status.ok()) {
    status = Push(rows, 5000, ++sequence).status();
    if (status.ok()) rows += 5000;
    ASSERT_LT(rows, 1000000);
  }
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Says(status, "--max-memory")) << status.ToString();
  EXPECT_TRUE(Says(status, "8388608")) << status.ToString();
  EXPECT_EQ(Rows(), rows);
  // The limit is about what the table really takes.
  const std::int64_t taken = shard_->Stats()->front().tables[0].memory_bytes;
  const auto limit = static_cast<std::int64_t>(options_.max_memory_bytes);
  EXPECT_GT(taken, limit * 9 / 10);
  EXPECT_LT(taken, limit * 11 / 10);
  // Updates of what is there go on, whatever their number, and reads.
  const auto reply = Push(0, rows, ++sequence);
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  EXPECT_EQ(reply->tables[0].fetched[0].values[0], 2);
  // Half old, half new: nothing of it.
  EXPECT_EQ(Push(rows - 50, 6000, ++sequence).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(Push(rows - 50, 1, ++sequence)->tables[0].fetched[0].values[0], 3);
  const std::vector<RowId> ids = {rows + 1};
  const std::vector<float> values(4, 1);
  EXPECT_TRUE(shard_->Assign(spec_.id(), 0, ids, values).ok());  // room for one
  std::vector<RowId> many(6000);
  std::iota(many.begin(), many.end(), 1000000);
  EXPECT_EQ(shard_->Assign(spec_.id(), 0, many, std::vector<float>(24000)).code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(Rows(), rows + 1);
}

TEST_F(ShardLimits, ARefusalStaysOneWhenItIsRepeatedAfterThereIsRoom) {
  options_.max_memory_bytes = 100 * 1024;
  Open();
  TableSpec other = spec_;
  other.name = "other";
  ASSERT_TRUE(shard_->CreateTable(other).ok());
  OwnedRequest fill;
  for (RowId id = 0; id < 2800; ++id) {
    fill.tables.empty() ? fill.Add(other.id()) : fill.tables.back();
    fill.tables.back().Push(id, 1, 1, {1, 1, 1, 1});
  }
  fill.header = {7, shard_->incarnation(), 1};
  ASSERT_TRUE(ExchangeAndWait(*shard_, fill.request()).ok());
  ASSERT_EQ(Push(0, 500, 2).status().code(), StatusCode::kResourceExhausted);
  ASSERT_TRUE(shard_->DropTable("other").ok());
  // Its answer was lost, say: "applied" would be a lie, and is a lost update.
  EXPECT_EQ(Push(0, 500, 2).status().code(), StatusCode::kResourceExhausted);
  ASSERT_TRUE(Push(0, 500, 3).ok());
  EXPECT_EQ(Push(0, 1, 4)->tables[0].fetched[0].values[0], 2);
}

TEST_F(ShardLimits, WhatOthersUpdateMeanwhileTakesNoRoom) {
  options_.max_memory_bytes = std::size_t{4} << 20;
  Open();
  constexpr RowId kRows = 80000;  // 36 bytes each: 2.9 MB
  ASSERT_TRUE(Push(0, kRows, 1).ok());
  std::atomic<bool> done{false};
  std::vector<std::thread> others;
  for (Incarnation worker = 1; worker <= 2; ++worker) {
    others.emplace_back([&, worker] {
      for (std::uint64_t sequence = 1; !done; ++sequence) {
        EXPECT_TRUE(Push(0, kRows, sequence, worker).ok());
      }
    });
  }
  for (std::uint64_t sequence = 2; sequence < 200; ++sequence) {
    const Status status =
        Push(kRows + static_cast<RowId>(sequence), 1, sequence).status();
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
  done = true;
  for (std::thread& other : others) other.join();
}

// Whoever asks at the same moment is granted what there is once.
TEST_F(ShardLimits, WorkersAtTheSameMomentDoNotPassTheLimitTogether) {
  options_.max_memory_bytes = std::size_t{1} << 20;
  Open();
  std::atomic<std::int64_t> granted{0};
  std::vector<std::thread> workers;
  for (Incarnation worker = 1; worker <= 4; ++worker) {
    workers.emplace_back([&, worker] {
      for (std::uint64_t sequence = 1; sequence <= 100; ++sequence) {
        const auto first = static_cast<RowId>(worker * 1000000 + sequence * 1000);
        if (Push(first, 500, sequence, worker).ok()) granted += 500;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(Rows(), granted);
  EXPECT_LE(Rows() * 36, std::int64_t{1} << 20);
  EXPECT_GT((Rows() + 500) * 36, std::int64_t{1} << 20) << "and what there is, is used";
}

TEST_F(ShardLimits, TablesDimensionsAndWorkers) {
  options_.max_tables = 2;
  options_.max_dimension = 16;
  options_.max_workers = 3;
  Open();
  TableSpec second = spec_, wide = spec_, third = spec_;
  second.name = "second";
  wide.name = "wide";
  wide.dimension = 17;
  third.name = "third";
  Status status = shard_->CreateTable(wide);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Says(status, "--max-dimension")) << status.ToString();
  ASSERT_TRUE(shard_->CreateTable(second).ok());
  status = shard_->CreateTable(third);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Says(status, "--max-tables")) << status.ToString();
  EXPECT_TRUE(shard_->CreateTable(second).ok()) << "it is there";
  for (Incarnation worker = 1; worker <= 3; ++worker) {
    EXPECT_TRUE(Push(0, 1, 1, worker).ok());
  }
  status = Push(0, 1, 1, 4).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Says(status, "--max-workers")) << status.ToString();
  EXPECT_TRUE(Push(0, 1, 2, 3).ok());
}

TEST_F(ShardLimits, ADroppedTableIsGoneAndItsNameFree) {
  Open();
  ASSERT_TRUE(Push(0, 10, 1).ok());
  ASSERT_TRUE(shard_->DropTable("t").ok());
  EXPECT_EQ(Push(0, 10, 2).status().code(), StatusCode::kNotFound);
  const Status again = shard_->DropTable("t");
  EXPECT_EQ(again.code(), StatusCode::kNotFound);
  EXPECT_TRUE(Says(again, "'t'")) << again.ToString();
  spec_.dimension = 8;  // as another table
  ASSERT_TRUE(shard_->CreateTable(spec_).ok());
  EXPECT_EQ(Rows(), 0);
}

TEST_F(ShardLimits, AfterADropTheNextCheckpointHasToBeAFullOne) {
  CheckpointSite site;
  Open();
  TableSpec other = spec_;
  other.name = "other";
  ASSERT_TRUE(shard_->CreateTable(other).ok());
  ASSERT_TRUE(Push(0, 10, 1).ok());
  ASSERT_TRUE(site.Save(*shard_, "first").ok());
  ASSERT_TRUE(site.Save(*shard_, "second", "first").ok());
  ASSERT_TRUE(shard_->DropTable("other").ok());
  EXPECT_EQ(site.Save(*shard_, "third", "second").status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_TRUE(site.Save(*shard_, "third").ok());
}

TEST_F(ShardLimits, ACheckpointThatIsLargerThanTheMemoryIsNotRestored) {
  CheckpointSite site;
  Open();
  ASSERT_TRUE(Push(0, 5000, 1).ok());
  ASSERT_TRUE(site.Save(*shard_, "large").ok());
  options_.max_memory_bytes = 100 * 1024;
  Open();
  ASSERT_TRUE(Push(0, 10, 1).ok());
  const auto restored = site.Wait(*shard_, site.Restore({{"large", 1}}));
  EXPECT_EQ(restored.status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Says(restored.status(), "--max-memory"))
      << restored.status().ToString();
  EXPECT_EQ(Rows(), 10) << "everything is as before";
}

TEST_F(ShardLimits, TheDistancesOfValidatedCopiesAreCounted) {
  Open();
  for (std::uint64_t sequence = 1; sequence <= 9; ++sequence) {
    ASSERT_TRUE(Push(0, 1, sequence).ok());  // the row's clock is 9
  }
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec_.id());
  table.staleness = 100;
  for (const Clock clock : {9, 8, 7, 6, 2, 0, 20}) table.Validate(0, clock);
  request.header = {7, shard_->incarnation(), 10};
  ASSERT_TRUE(ExchangeAndWait(*shard_, request.request()).ok());
  const TableStats stats = shard_->Stats()->front().tables[0];
  // Behind by 0 (twice: one is ahead), 1, 2 and 3, 7, 9.
  const std::vector<std::int64_t> first(stats.staleness.begin(),
                                        stats.staleness.begin() + 6);
  EXPECT_EQ(first, (std::vector<std::int64_t>{2, 1, 2, 1, 1, 0}));
  EXPECT_EQ(stats.staleness_sum, 1 + 2 + 3 + 7 + 9);
}

}  // namespace
}  // namespace het
