// The store contract: reads and validation.

#include <random>

#include "kernels/initializer/initializer.h"
#include "kernels/testing/store_contract.h"

namespace het {

void internal::LinkStoreContractReads() {}

// --- Reads. -----------------------------------------------------------------

TEST_P(StoreContract, UnknownRowsAreSaidToBeInitialAndAreNotCreated) {
  TableSpec spec = PlainTable("t");
  spec.dimension = 5;
  spec.seed = 42;
  for (const char* name : {"uniform", "normal", "truncated_normal"}) {
    spec.name = name;
    spec.initializer = {name, {}};
    ASSERT_TRUE(store_->CreateTable(spec).ok());
    for (const RowId id : AwkwardIds()) {
      const Row row = Fetch(*store_, spec.id(), id);
      EXPECT_TRUE(row.initial) << name << " id " << id;
      EXPECT_TRUE(row.values.empty());
      EXPECT_EQ(row.clock, 0);
      EXPECT_EQ(row.step_scale, 1.0f);
    }
    EXPECT_EQ(StoredRows(*store_, name), 0);
  }
}

// What a reader computes for an unknown row is what its first push starts from.
TEST_P(StoreContract, ARowIsBornWithTheBitsThatItsInitializerGives) {
  TableSpec spec = PlainTable("t");
  spec.dimension = 5;
  spec.seed = 42;
  for (const char* name : {"uniform", "normal", "truncated_normal"}) {
    spec.name = name;
    spec.initializer = {name, {}};
    ASSERT_TRUE(store_->CreateTable(spec).ok());
    const auto initializer = CreateInitializer(spec.initializer, spec.seed);
    for (const RowId id : AwkwardIds()) {
      std::vector<float> expected(5);
      (*initializer)->Fill(spec.id(), id, 5, expected.data());
      Push(*store_, spec.id(), id, 0, std::vector<float>(5, 0.0f));
      const Row row = Fetch(*store_, spec.id(), id);
      EXPECT_FALSE(row.initial);
      EXPECT_EQ(row.values, expected) << name << " id " << id;
    }
  }
}

TEST_P(StoreContract, InitialAndOtherRowsStandWhereTheyWereAskedFor) {
  const TableSpec spec = AdagradTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  OwnedRequest push, read;
  OwnedRequest::Table& pushed = push.Add(spec.id());
  OwnedRequest::Table& table = read.Add(spec.id());
  for (RowId id = 0; id < 100; ++id) {
    if (id % 3 == 0) pushed.Push(id, 500 + id, 1, {1, 1});
    table.Fetch(id);
  }
  Exchange(*store_, push);
  const float initial_scale = Fetch(*store_, spec.id(), -1).step_scale;
  const ExchangeReply reply = Exchange(*store_, read);
  for (std::size_t i = 0; i < 100; ++i) {
    const RowView& row = reply.tables[0].fetched[i];
    EXPECT_TRUE(row.answered());
    EXPECT_EQ(row.initial, i % 3 != 0);
    EXPECT_EQ(row.clock, i % 3 == 0 ? static_cast<Clock>(500 + i) : 0);
    EXPECT_EQ(row.step_scale == initial_scale, row.initial);
  }
}

TEST_P(StoreContract, TheFirstPushStartsFromTheInitialValue) {
  TableSpec spec = PlainTable("t");
  spec.initializer = {"constant", {{"value", 3}}};
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  Push(*store_, spec.id(), 9, 1, {1, -2}, 0.5f);
  EXPECT_EQ(Fetch(*store_, spec.id(), 9).values,
            (std::vector<float>{2.5f, 4.0f}));
  EXPECT_EQ(StoredRows(*store_, "t"), 1);
}

TEST_P(StoreContract, ReadsSeeThePushesTheyTravelWith) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  for (int i = 1; i <= 5; ++i) {
    OwnedRequest request;
    request.Add(spec.id())
        .Push(7, i, 1, {-1, -10})
        .Fetch(7)
        .Validate(7, i - 1);
    const ExchangeReply reply = Exchange(*store_, request);
    const Row fetched = ToRow(reply.tables[0].fetched[0], 2);
    EXPECT_EQ(fetched.values, (std::vector<float>{1.0f * i, 10.0f * i}));
    EXPECT_EQ(fetched.clock, i);
    // Validated at staleness 0 against the clock that the push has moved.
    const Row validated = ToRow(reply.tables[0].validated[0], 2);
    EXPECT_EQ(validated.values, fetched.values);
    EXPECT_EQ(validated.clock, i);
  }
}

TEST_P(StoreContract, ValidationAnswersExactlyTheRowsBeyondTheStaleness) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  Push(*store_, spec.id(), 1, 100, {-4, -5});
  for (const Staleness s : {Staleness{0}, Staleness{1}, Staleness{10}}) {
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(spec.id(), s);
    table.Validate(1, 100).Validate(1, 100 - s).Validate(1, 99 - s);
    table.Validate(1, 0).Validate(1, 500);
    const ExchangeReply reply = Exchange(*store_, request);
    const auto& validated = reply.tables[0].validated;
    ASSERT_EQ(validated.size(), 5u);
    EXPECT_FALSE(validated[0].answered()) << "s=" << s;
    EXPECT_FALSE(validated[1].answered()) << "s=" << s;
    EXPECT_EQ(ToRow(validated[2], 2).values, (std::vector<float>{4, 5}));
    EXPECT_EQ(ToRow(validated[2], 2).clock, 100);
    EXPECT_EQ(ToRow(validated[3], 2).values, (std::vector<float>{4, 5}));
    EXPECT_FALSE(validated[4].answered()) << "s=" << s;
  }
}

TEST_P(StoreContract, UnknownRowsStandAtClockZeroWhenValidated) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  OwnedRequest request;
  request.Add(spec.id(), 0).Validate(5, 0).Validate(6, 3);
  const ExchangeReply reply = Exchange(*store_, request);
  EXPECT_FALSE(reply.tables[0].validated[0].answered());
  EXPECT_FALSE(reply.tables[0].validated[1].answered());
  EXPECT_EQ(StoredRows(*store_, "t"), 0);
}

TEST_P(StoreContract, UnboundedStalenessFindsEveryCopyValid) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  Push(*store_, spec.id(), 1, kUnboundedStaleness, {-4, -5});
  OwnedRequest request;
  request.Add(spec.id(), kUnboundedStaleness).Validate(1, 0);
  EXPECT_FALSE(Exchange(*store_, request).tables[0].validated[0].answered());
}

TEST_P(StoreContract, RepliesStandWhereTheyWereAskedFor) {
  TableSpec spec = PlainTable("t");
  spec.dimension = 1;
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  std::mt19937_64 random(5);
  OwnedRequest push;
  OwnedRequest::Table& pushed = push.Add(spec.id());
  std::vector<RowId> ids;
  for (int i = 0; i < 300; ++i) {
    ids.push_back(static_cast<RowId>(random()));
    pushed.Push(ids.back(), i + 1, 1, {static_cast<float>(-i)});
  }
  Exchange(*store_, push);
  OwnedRequest read;
  OwnedRequest::Table& table = read.Add(spec.id(), 0);
  std::vector<int> fetched, validated;
  for (int i = 0; i < 1000; ++i) {
    const int k = static_cast<int>(random() % ids.size());
    if (random() % 2 == 0) {
      table.Fetch(ids[static_cast<std::size_t>(k)]);
      fetched.push_back(k);
    } else {
      table.Validate(ids[static_cast<std::size_t>(k)], k % 2 == 0 ? 0 : 1000);
      validated.push_back(k);
    }
  }
  const ExchangeReply reply = Exchange(*store_, read);
  for (std::size_t i = 0; i < fetched.size(); ++i) {
    ASSERT_EQ(*reply.tables[0].fetched[i].values, fetched[i]);
    ASSERT_EQ(reply.tables[0].fetched[i].clock, fetched[i] + 1);
  }
  for (std::size_t i = 0; i < validated.size(); ++i) {
    const RowView& view = reply.tables[0].validated[i];
    if (validated[i] % 2 != 0) {
      ASSERT_FALSE(view.answered());
    } else {
      ASSERT_NE(view.values, nullptr);
      ASSERT_EQ(*view.values, validated[i]);
    }
  }
}

}  // namespace het
