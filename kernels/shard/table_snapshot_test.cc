// Table's snapshots: the rows of the cut, whatever is pushed while they are
// written; increments; rows that come back.

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "kernels/shard/table.h"

namespace het {
namespace {

constexpr std::size_t kDimension = 3;

TableSpec Spec(bool synchronous = false) {
  TableSpec spec;
  spec.name = "t";
  spec.dimension = kDimension;
  spec.seed = 5;
  spec.optimizer = {"adagrad", {}};
  spec.synchronous = synchronous;
  return spec;
}

std::unique_ptr<Table> Make(const TableSpec& spec) {
  auto table = Table::Create(spec);
  EXPECT_TRUE(table.ok()) << table.status().ToString();
  return std::move(table).Take();
}

struct Row {
  Clock clock;
  std::vector<float> floats;  // values, then slots
  bool operator==(const Row& other) const {
    return clock == other.clock && floats == other.floats;
  }
};
using Rows = std::map<RowId, Row>;

// The next rows of the cut, as a checkpoint takes them.
bool Take(Table& table, RowBlock* block, std::size_t most_bytes) {
  return table.TakeKept(block) || table.TakeMarked(block, most_bytes) ||
         table.TakeKept(block);
}

void Add(const Table& table, const RowBlock& block, Rows* rows) {
  for (std::size_t i = 0; i < block.ids.size(); ++i) {
    Row row{block.clocks[i], {}};
    const auto values = block.values.begin() + i * kDimension;
    const auto slots = block.slots.begin() + i * table.slots();
    row.floats.assign(values, values + kDimension);
    row.floats.insert(row.floats.end(), slots, slots + table.slots());
    EXPECT_TRUE(rows->emplace(block.ids[i], row).second)
        << "row " << block.ids[i] << " was written twice";
  }
}

// All rows, in one go.
Rows Dump(Table& table, KeptRows* kept) {
  Rows rows;
  RowBlock block;
  table.Cut(true, kept);
  while (Take(table, &block, 1 << 16)) Add(table, block, &rows);
  table.EndSnapshot();
  return rows;
}

class TableSnapshot : public testing::Test {
 protected:
  void PushSome(Table& table, std::size_t count) {
    std::vector<RowId> ids;
    std::vector<Clock> clocks;
    std::vector<float> rates, gradients;
    for (std::size_t i = 0; i < count; ++i) {
      ids.push_back(static_cast<RowId>(random_() % 2000));
      // Often no later than the row's own: its value changes, its clock not.
      clocks.push_back(static_cast<Clock>(random_() % 8));
      rates.push_back(0.5f);
      for (std::size_t d = 0; d < kDimension; ++d) {
        gradients.push_back(static_cast<float>(random_() % 16) - 8);
      }
    }
    ASSERT_TRUE(table.Reserve(count).ok());
    table.Push(ids, clocks, rates, gradients, ++round_);
    table.Release(count);
  }

  const std::uint64_t seed_ = 23;
  const testing::ScopedTrace trace_{__FILE__, __LINE__, seed_};
  std::mt19937_64 random_{seed_};
  std::uint64_t round_ = 0;
  KeptRows kept_{std::size_t{1} << 30, std::chrono::milliseconds(0)};
};

TEST_F(TableSnapshot, WritesTheRowsOfTheCutWhateverIsPushedMeanwhile) {
  for (const bool synchronous : {false, true}) {
    const auto table = Make(Spec(synchronous));
    const auto twin = Make(Spec(synchronous));  // the same pushes up to the cut
    for (int i = 0; i < 30; ++i) {
      const auto state = random_;
      PushSome(*table, 300);
      random_ = state;
      --round_;
      PushSome(*twin, 300);
    }
    const Rows expected = Dump(*twin, &kept_);
    ASSERT_GT(expected.size(), 1500u);
    Rows written;
    RowBlock block;
    EXPECT_TRUE(table->Cut(true, &kept_));
    std::size_t most_kept = 0;
    while (Take(*table, &block, 600)) {
      Add(*table, block, &written);
      PushSome(*table, 20);
      most_kept = std::max(most_kept, kept_.bytes());
    }
    table->EndSnapshot();
    EXPECT_EQ(written, expected);
    EXPECT_GT(most_kept, 0u);
    EXPECT_EQ(kept_.bytes(), 0u);
  }
}

TEST_F(TableSnapshot, WhatChangesAtTheVeryEndIsWritten) {
  // No row is left to be scanned, but some are kept.
  const auto table = Make(Spec());
  PushSome(*table, 3000);
  const Rows expected = Dump(*table, &kept_);
  table->Cut(true, &kept_);
  std::vector<RowId> ids;
  for (const auto& [id, row] : expected) ids.push_back(id);
  const std::vector<Clock> clocks(ids.size(), 1);
  const std::vector<float> rates(ids.size(), 1),
      gradients(ids.size() * kDimension, 1);
  table->Push(ids, clocks, rates, gradients);
  Rows written;
  RowBlock block;
  EXPECT_FALSE(table->TakeMarked(&block, 1 << 20));
  while (table->TakeKept(&block)) Add(*table, block, &written);
  table->EndSnapshot();
  EXPECT_EQ(written, expected);
}

TEST_F(TableSnapshot, IncrementsAddUpToTheWhole) {
  const auto table = Make(Spec());
  Rows sum;
  std::size_t incremental = 0;
  for (int cut = 0; cut < 20; ++cut) {
    PushSome(*table, 200);
    Rows part;
    RowBlock block;
    EXPECT_EQ(table->Cut(false, &kept_), cut == 0);
    while (Take(*table, &block, 2000)) {
      Add(*table, block, &part);
      PushSome(*table, 5);
    }
    table->EndSnapshot();
    if (cut > 0) incremental = std::max(incremental, part.size());
    for (const auto& [id, row] : part) sum[id] = row;
  }
  EXPECT_LT(incremental, sum.size() / 2);
  // What has been pushed since the last cut, then all of it.
  Rows last;
  RowBlock block;
  EXPECT_FALSE(table->Cut(false, &kept_));
  while (Take(*table, &block, 1 << 16)) Add(*table, block, &last);
  table->EndSnapshot();
  for (const auto& [id, row] : last) sum[id] = row;
  EXPECT_EQ(sum, Dump(*table, &kept_));
}

TEST_F(TableSnapshot, AssignedRowsAreWrittenAsTheyWereAtTheCut) {
  const auto table = Make(Spec());
  PushSome(*table, 500);
  const Rows before = Dump(*table, &kept_);
  EXPECT_TRUE(table->Cut(true, &kept_));
  for (const auto& [id, row] : before) {
    const std::vector<RowId> ids = {id};
    const std::vector<float> values(kDimension, 9);
    table->Assign(2, ids, values);
  }
  Rows written;
  RowBlock block;
  while (Take(*table, &block, 1 << 16)) Add(*table, block, &written);
  table->EndSnapshot();
  EXPECT_EQ(written, before);
}

TEST_F(TableSnapshot, LoadedRowsAreTheOnesThatWereWritten) {
  const auto table = Make(Spec());
  PushSome(*table, 3000);
  const std::vector<RowId> large = {1};
  const std::vector<Clock> clock = {Clock{1} << 40};
  const std::vector<float> rate = {1}, gradient(kDimension, 1);
  table->Push(large, clock, rate, gradient);
  const auto copy = Make(Spec());
  RowBlock block;
  table->Cut(true, &kept_);
  while (Take(*table, &block, 1 << 12)) copy->Load(block);
  table->EndSnapshot();
  EXPECT_EQ(Dump(*copy, &kept_), Dump(*table, &kept_));
  EXPECT_EQ(copy->stats().rows, table->stats().rows);
}

TEST_F(TableSnapshot, AnEndBeforeTheLastRowKeepsNothing) {
  const auto table = Make(Spec());
  PushSome(*table, 3000);
  table->Cut(true, &kept_);
  PushSome(*table, 3000);
  EXPECT_GT(kept_.bytes(), 0u);
  table->EndSnapshot();
  EXPECT_EQ(kept_.bytes(), 0u);
  PushSome(*table, 3000);
  EXPECT_EQ(kept_.bytes(), 0u);
}

TEST_F(TableSnapshot, OverrunNothingMoreIsKept) {
  KeptRows small(100, std::chrono::milliseconds(0));
  const auto table = Make(Spec());
  PushSome(*table, 3000);
  table->Cut(true, &small);
  PushSome(*table, 100);
  EXPECT_FALSE(small.overrun());
  small.AwaitRoom();  // nobody makes any
  EXPECT_TRUE(small.overrun());
  const std::size_t kept = small.bytes();
  PushSome(*table, 1000);
  EXPECT_EQ(small.bytes(), kept);
  small.Begin();
  EXPECT_FALSE(small.overrun());
}

TEST_F(TableSnapshot, WhoWaitsForRoomGetsItWhenRowsAreWritten) {
  KeptRows small(100, std::chrono::hours(1));
  const auto table = Make(Spec());
  PushSome(*table, 3000);
  table->Cut(true, &small);
  PushSome(*table, 1000);
  ASSERT_GT(small.bytes(), 100u);
  std::thread waiting([&] { small.AwaitRoom(); });
  RowBlock block;
  while (Take(*table, &block, 1 << 12)) {
  }
  waiting.join();
  EXPECT_FALSE(small.overrun());
  table->EndSnapshot();
}

}  // namespace
}  // namespace het
