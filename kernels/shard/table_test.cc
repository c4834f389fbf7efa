// Table: rows that appear with their first push, growth, statistics, and
// batches of several threads.

#include "kernels/shard/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "kernels/testing/initial_row.h"

namespace het {
namespace {

TableSpec Spec(std::size_t dimension, const std::string& optimizer = "sgd") {
  TableSpec spec;
  spec.name = "t";
  spec.dimension = dimension;
  spec.seed = 5;
  spec.optimizer = {optimizer, {}};
  return spec;
}

std::unique_ptr<Table> Make(const TableSpec& spec) {
  auto table = Table::Create(spec);
  EXPECT_TRUE(table.ok()) << table.status().ToString();
  return std::move(table).Take();
}

void Push(Table& table, const std::vector<RowId>& ids, Clock clock,
          float gradient, float learning_rate = 1) {
  const std::vector<Clock> clocks(ids.size(), clock);
  const std::vector<float> rates(ids.size(), learning_rate);
  const std::vector<float> gradients(ids.size() * table.spec().dimension,
                                     gradient);
  table.Push(ids, clocks, rates, gradients);
}

struct Rows {
  explicit Rows(const Table& table, const std::vector<RowId>& ids)
      : values(ids.size() * table.spec().dimension), views(ids.size()) {
    table.Fetch(ids, values.data(), views.data());
  }
  std::vector<float> values;
  std::vector<RowView> views;
};

TEST(Table, ReadsOfUnknownRowsSayInitialAndLeaveNoTrace) {
  const TableSpec spec = Spec(3);
  const auto table = Make(spec);
  const std::int64_t bytes = table->stats().memory_bytes;
  for (const RowId id : {RowId{0}, RowId{-1}, RowId{1} << 60}) {
    const Rows rows(*table, {id});
    EXPECT_TRUE(rows.views[0].initial);
    EXPECT_TRUE(rows.views[0].answered());
    EXPECT_EQ(rows.views[0].values, nullptr);
    EXPECT_EQ(rows.views[0].clock, 0);
  }
  EXPECT_EQ(table->stats().rows, 0);
  EXPECT_EQ(table->stats().memory_bytes, bytes);
}

TEST(Table, ARowAppearsWithItsFirstPush) {
  const TableSpec spec = Spec(2);
  const auto table = Make(spec);
  Push(*table, {4}, 3, 2, 0.5f);
  std::vector<float> expected = InitialRow(spec, 4);
  for (float& value : expected) value -= 1;
  const Rows rows(*table, {4, 5});
  EXPECT_EQ(rows.values[0], expected[0]);
  EXPECT_EQ(rows.values[1], expected[1]);
  EXPECT_EQ(rows.views[0].clock, 3);
  EXPECT_FALSE(rows.views[0].initial);
  EXPECT_TRUE(rows.views[1].initial);
  EXPECT_EQ(table->stats().rows, 1);
}

TEST(Table, ViewsPointWhereTheRowsWereCopied) {
  const auto table = Make(Spec(2));
  Push(*table, {1, 2, 3}, 1, 1);
  const Rows rows(*table, {1, 2, 3});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(rows.views[i].values, &rows.values[2 * i]);
  }
}

TEST(Table, KeepsEveryRowAndItsSlotsWhileItGrows) {
  const TableSpec spec = Spec(3, "adagrad");
  const auto table = Make(spec);
  constexpr int kRows = 100000;
  const auto id_of = [](int i) {
    return (i % 2 == 0 ? 1 : -1) * (RowId{i} * 1234567891011);
  };
  std::vector<RowId> ids;
  for (int i = 1; i <= kRows; ++i) ids.push_back(id_of(i));
  for (int from = 0; from < kRows; from += 1000) {
    const std::vector<RowId> part(ids.begin() + from, ids.begin() + from + 1000);
    Push(*table, part, from + 1, 0.5f);
  }
  Push(*table, ids, 7, 0.25f);
  EXPECT_EQ(table->stats().rows, kRows);
  const auto optimizer = CreateOptimizer(spec.optimizer);
  const Rows rows(*table, ids);
  for (std::size_t i = 0; i < ids.size(); i += 37) {
    std::vector<float> row = InitialRow(spec, ids[i]), slots(3);
    (*optimizer)->InitializeSlots(3, slots.data());
    for (const float g : {0.5f, 0.25f}) {
      const std::vector<float> gradient(3, g);
      (*optimizer)->Step(1, gradient.data(), 3, row.data(), slots.data());
    }
    for (std::size_t d = 0; d < 3; ++d) {
      ASSERT_EQ(rows.values[3 * i + d], row[d]) << "id " << ids[i];
    }
    ASSERT_EQ(rows.views[i].clock,
              std::max<Clock>(static_cast<Clock>(i / 1000 * 1000 + 1), 7));
    ASSERT_EQ(rows.views[i].step_scale,
              (*optimizer)->StepScale(slots.data(), 3));
  }
}

TEST(Table, ARowCostsLessThan24BytesBesideItsValuesAndSlots) {
  for (const char* optimizer : {"sgd", "adagrad"}) {
    const auto table = Make(Spec(16, optimizer));
    const double row = (optimizer == std::string("sgd") ? 16 : 32) * 4;
    std::size_t pushed = 0;
    // At all sizes, also where an index that doubles has just done so.
    for (const std::size_t rows : {100000u, 130000u, 170000u, 220000u}) {
      std::vector<RowId> ids;
      for (; pushed < rows; ++pushed) ids.push_back(static_cast<RowId>(pushed));
      Push(*table, ids, 1, 1);
      const TableStats stats = table->stats();
      EXPECT_EQ(stats.rows, static_cast<std::int64_t>(rows));
      const double beside = static_cast<double>(stats.memory_bytes) /
                                static_cast<double>(rows) -
                            row;
      EXPECT_GT(beside, 12 + 4) << rows << " rows";
      EXPECT_LT(beside, 24) << rows << " rows";
    }
  }
  const TableStats stats = Make(Spec(16))->stats();
  EXPECT_EQ(stats.name, "t");
  EXPECT_EQ(stats.dimension, 16u);
  EXPECT_EQ(stats.optimizer, "sgd()");
}

TEST(Table, ClocksAreExactOverTheirWholeRange) {
  const auto table = Make(Spec(1));
  const Clock edge = Clock{1} << 32;
  const std::vector<Clock> clocks = {0, 1, edge - 2, edge - 1, edge,
                                     kUnboundedStaleness};
  const std::vector<RowId> ids = {1, 2, 3, 4, 5, 6};
  const std::vector<float> ones(6, 1);
  table->Push(ids, clocks, ones, ones);
  Rows rows(*table, ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(rows.views[i].clock, clocks[i]);
  }
  Push(*table, ids, edge, 1);  // some grow large, none shrinks
  rows = Rows(*table, ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(rows.views[i].clock, std::max(clocks[i], edge));
  }
  std::vector<RowView> views(ids.size());
  table->FetchStale(ids, std::vector<Clock>(6, edge - 3), 3,
                    rows.values.data(), views.data());
  EXPECT_FALSE(views[0].answered());
  EXPECT_TRUE(views[5].answered());
}

TEST(Table, ReservesRoomOrSaysThatItIsFull) {
  auto made = Table::Create(Spec(1), 100);
  ASSERT_TRUE(made.ok());
  const auto table = std::move(made).Take();
  ASSERT_TRUE(table->Reserve(60).ok());
  EXPECT_EQ(table->Reserve(41).code(), StatusCode::kResourceExhausted);
  ASSERT_TRUE(table->Reserve(40).ok());  // nothing stays of the one refused
  table->Release(100);
  // However the ids fall, no stripe gets more rows than were reserved.
  RowId id = 0;
  Status status;
  for (; (status = table->Reserve(1)).ok() && id < 64 * 100; ++id) {
    Push(*table, {id}, 1, 1);
    table->Release(1);
  }
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("table 't' has"), std::string::npos)
      << status.ToString();
  EXPECT_GT(id, 100);
  EXPECT_LT(id, 64 * 100);
}

TEST(Table, StaleRowsAloneAreCopied) {
  const auto table = Make(Spec(1));
  Push(*table, {1, 2}, 10, -1);
  std::vector<float> values(3, -99);
  std::vector<RowView> views(3);
  table->FetchStale(std::vector<RowId>{1, 2, 3}, std::vector<Clock>{8, 7, 0}, 2,
                    values.data(), views.data());
  EXPECT_FALSE(views[0].answered());
  EXPECT_EQ(views[1].values, &values[1]);
  EXPECT_EQ(views[1].clock, 10);
  EXPECT_FALSE(views[2].answered());
  EXPECT_EQ(values[0], -99);
  EXPECT_EQ(values[2], -99);
}

TEST(Table, AssignOverwritesValuesSlotsAndClock) {
  const auto table = Make(Spec(1, "adagrad"));
  Push(*table, {1}, 10, 5);
  const std::vector<float> rows = {3, 4};
  table->Assign(2, std::vector<RowId>{1, 9}, rows);
  const Rows read(*table, {1, 9, 77});
  EXPECT_EQ(read.values[0], 3);
  EXPECT_EQ(read.values[1], 4);
  EXPECT_EQ(read.views[0].clock, 10 + 2 * 2 + 2);
  EXPECT_EQ(read.views[1].clock, 2 * 2 + 2);
  EXPECT_EQ(read.views[0].step_scale, read.views[2].step_scale);
}

TEST(Table, ConcurrentPushesAreAllAppliedAndReadsSeeWholeRows) {
  TableSpec spec = Spec(8);
  spec.initializer = {"zeros", {}};
  const auto table = Make(spec);
  std::vector<std::thread> threads;
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0};
  for (std::uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 300; ++i) {
        std::vector<RowId> ids;
        for (RowId id = 0; id < 50; ++id) ids.push_back(id * 3);
        std::shuffle(ids.begin(), ids.end(), random);
        Push(*table, ids, i + 1, -1);
      }
    });
  }
  std::thread reader([&] {
    while (!stop) {
      const Rows rows(*table, {0, 3, 6, 9});
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t d = 1; d < 8; ++d) {
          if (rows.values[8 * i + d] != rows.values[8 * i]) ++torn;
        }
      }
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  reader.join();
  EXPECT_EQ(torn, 0);
  for (RowId id = 0; id < 50; ++id) {
    const Rows rows(*table, {id * 3});
    EXPECT_EQ(rows.values[0], 900);
    EXPECT_EQ(rows.views[0].clock, 300);
  }
}

// A synchronous table: adagrad, dimension 1, rows from 0, learning rate 1.
class SynchronousTable : public testing::Test {
 protected:
  SynchronousTable() {
    spec_ = Spec(1, "adagrad");
    spec_.initializer = {"zeros", {}};
    spec_.synchronous = true;
    table_ = Make(spec_);
  }
  void PushTo(std::uint64_t round, RowId id, Clock clock, float gradient) {
    table_->Push(std::vector<RowId>{id}, std::vector<Clock>{clock},
                 std::vector<float>{1}, std::vector<float>{gradient}, round);
  }
  RowView Read(std::uint64_t round, RowId id) {
    RowView view;
    table_->Fetch(std::vector<RowId>{id}, &value_, &view, round);
    return view;
  }
  // The row after steps of these gradients.
  float After(const std::vector<float>& gradients) {
    const auto optimizer = CreateOptimizer(spec_.optimizer);
    float row = 0, slot;
    (*optimizer)->InitializeSlots(1, &slot);
    for (const float g : gradients) (*optimizer)->Step(1, &g, 1, &row, &slot);
    return row;
  }

  TableSpec spec_;
  std::unique_ptr<Table> table_;
  float value_ = -99;
};

TEST_F(SynchronousTable, ARoundIsOneStepTakenByTheFirstCallOfALaterOne) {
  PushTo(1, 7, 1, 0.5f);
  PushTo(1, 7, 1, 0.25f);
  EXPECT_EQ(Read(1, 7).clock, 0);  // a round does not see itself
  EXPECT_EQ(value_, 0);
  EXPECT_EQ(Read(2, 7).clock, 1);
  EXPECT_EQ(value_, After({0.75f}));
  PushTo(2, 7, 2, 1);
  PushTo(3, 7, 5, 2);  // nobody has read in between
  PushTo(3, 7, 4, 3);
  EXPECT_EQ(Read(3, 7).clock, 2);
  EXPECT_EQ(value_, After({0.75f, 1}));
  EXPECT_EQ(Read(4, 7).clock, 5);
  EXPECT_EQ(value_, After({0.75f, 1, 5}));
}

TEST_F(SynchronousTable, AReaderWithoutARoundSeesWhatIsThereAndClosesNothing) {
  PushTo(1, 7, 3, 0.5f);
  RowView view = Read(0, 7);
  EXPECT_EQ(value_, After({0.5f}));
  EXPECT_EQ(view.clock, 3);
  table_->FetchStale(std::vector<RowId>{7}, std::vector<Clock>{2}, 0, &value_,
                     &view);
  EXPECT_EQ(view.clock, 3);
  PushTo(1, 7, 3, 0.5f);
  EXPECT_EQ(Read(0, 7).step_scale, Read(2, 7).step_scale);
  EXPECT_EQ(value_, After({1}));
  EXPECT_TRUE(Read(0, 8).initial);
}

TEST_F(SynchronousTable, AssignAndANewJobCloseTheRound) {
  PushTo(5, 7, 3, 0.5f);
  table_->Assign(0, std::vector<RowId>{7}, std::vector<float>{4});
  EXPECT_EQ(Read(0, 7).clock, 3 + 2);
  EXPECT_EQ(value_, 4);
  PushTo(5, 9, 1, 0.5f);
  table_->CloseRounds();
  PushTo(1, 9, 1, 2);  // of another job, which counts anew
  Read(0, 9);
  EXPECT_EQ(value_, After({0.5f, 2}));
}

TEST_F(SynchronousTable, PushesOfARoundThatIsOverAreRefused) {
  const std::vector<RowId> ids = {7};
  TableExchange late;
  late.push_ids = ids;
  late.round = 2;
  EXPECT_TRUE(table_->CheckRound(late).ok());
  Read(3, 1);
  const Status status = table_->CheckRound(late);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("has seen round 3"), std::string::npos)
      << status.ToString();
  late.push_ids = {};
  EXPECT_TRUE(table_->CheckRound(late).ok());  // a late read does no harm
}

TEST(Table, CreateRefusesWhatValidateRefuses) {
  EXPECT_EQ(Table::Create(Spec(0)).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Table::Create(Spec(1, "adam")).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace het
