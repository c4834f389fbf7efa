// The store contract: pushes, their order and conservation, and the
// shapes of requests.

#include <functional>
#include <future>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "kernels/initializer/initializer.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/testing/store_contract.h"

namespace het {

void internal::LinkStoreContractPushes() {}

// --- Pushes. ----------------------------------------------------------------

TEST_P(StoreContract, AnIdGivenTwiceTakesTwoSteps) {
  const TableSpec spec = AdagradTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  std::vector<float> row(2), slots(2);
  (*CreateInitializer(spec.initializer, spec.seed))
      ->Fill(spec.id(), 3, 2, row.data());
  const auto optimizer = CreateOptimizer(spec.optimizer);
  (*optimizer)->InitializeSlots(2, slots.data());
  const std::vector<float> first = {0.5f, -1.25f}, second = {2.0f, 0.75f};
  (*optimizer)->Step(0.1f, first.data(), 2, row.data(), slots.data());
  (*optimizer)->Step(0.2f, second.data(), 2, row.data(), slots.data());

  OwnedRequest request;
  request.Add(spec.id())
      .Push(3, 1, 0.1f, first)
      .Push(3, 2, 0.2f, second)
      .Fetch(3);
  const ExchangeReply reply = Exchange(*store_, request);
  const Row fetched = ToRow(reply.tables[0].fetched[0], 2);
  EXPECT_EQ(fetched.values, row);
  EXPECT_EQ(fetched.clock, 2);
  EXPECT_EQ(fetched.step_scale, (*optimizer)->StepScale(slots.data(), 2));
}

TEST_P(StoreContract, TheRoundOfASynchronousTableIsOneStep) {
  TableSpec spec = AdagradTable("t");
  spec.synchronous = true;
  const std::shared_ptr<EmbeddingStore> other = deployment_->NewWorker();
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  ASSERT_TRUE(other->CreateTable(spec).ok());
  const auto in_round = [&](EmbeddingStore& store, std::uint64_t round,
                            bool push) {
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(spec.id());
    table.round = round;
    if (push) table.Push(3, 1, 0.5f, {0.5f, -1});
    table.Fetch(3);
    return ToRow(Exchange(store, request).tables[0].fetched[0], 2);
  };
  const auto optimizer = CreateOptimizer(spec.optimizer);
  std::vector<float> row = in_round(*store_, 1, true).values, slots(2);
  (*optimizer)->InitializeSlots(2, slots.data());
  EXPECT_EQ(in_round(*other, 1, true).values, row);
  const std::vector<float> sum = {1, -2};
  (*optimizer)->Step(0.5f, sum.data(), 2, row.data(), slots.data());
  EXPECT_EQ(in_round(*other, 0, false).values, row);
  EXPECT_EQ(in_round(*store_, 2, false).values, row);

  OwnedRequest none;
  none.Add(spec.id()).Push(3, 1, 0.5f, {1, 1});
  EXPECT_EQ(ExchangeStatus(*store_, none).code(), StatusCode::kInvalidArgument);
  OwnedRequest stale;
  stale.Add(spec.id(), 1).Fetch(3);
  EXPECT_EQ(ExchangeStatus(*store_, stale).code(),
            StatusCode::kInvalidArgument);
}

TEST_P(StoreContract, AClockBecomesTheMaximumAndNeverASum) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  for (const auto& [pushed, expected] :
       std::vector<std::pair<Clock, Clock>>{{5, 5}, {3, 5}, {5, 5}, {7, 7}}) {
    Push(*store_, spec.id(), 1, pushed, {-1, 0});
    EXPECT_EQ(Fetch(*store_, spec.id(), 1).clock, expected);
  }
  EXPECT_EQ(Fetch(*store_, spec.id(), 1).values, (std::vector<float>{4, 0}));
}

TEST_P(StoreContract, LargeClocksAndStepScalesArriveUnchanged) {
  const TableSpec spec = AdagradTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  const Clock large = (Clock{1} << 40) + 3;
  Push(*store_, spec.id(), 1, large, {1, 1});
  const Row row = Fetch(*store_, spec.id(), 1);
  EXPECT_EQ(row.clock, large);
  EXPECT_NE(row.step_scale, 1.0f);
  // A row nobody has pushed to has a scale too: that of new slots.
  std::vector<float> slots(2);
  const auto optimizer = CreateOptimizer(spec.optimizer);
  (*optimizer)->InitializeSlots(2, slots.data());
  EXPECT_EQ(Fetch(*store_, spec.id(), 2).step_scale,
            (*optimizer)->StepScale(slots.data(), 2));
}

TEST_P(StoreContract, IdsOverTheWholeRangeAreDistinctRows) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec.id());
  for (std::size_t i = 0; i < AwkwardIds().size(); ++i) {
    table.Push(AwkwardIds()[i], static_cast<Clock>(i) + 1, 1,
               {-static_cast<float>(i), 0});
  }
  Exchange(*store_, request);
  for (std::size_t i = 0; i < AwkwardIds().size(); ++i) {
    const Row row = Fetch(*store_, spec.id(), AwkwardIds()[i]);
    EXPECT_EQ(row.values[0], static_cast<float>(i)) << AwkwardIds()[i];
    EXPECT_EQ(row.clock, static_cast<Clock>(i) + 1) << AwkwardIds()[i];
  }
  EXPECT_EQ(StoredRows(*store_, "t"),
            static_cast<std::int64_t>(AwkwardIds().size()));
}

TEST_P(StoreContract, ExchangesUnderWayApplyInTheOrderOfTheirCalls) {
  const TableSpec spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  constexpr int kExchanges = 60;
  const std::vector<RowId> ids = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<std::unique_ptr<OwnedRequest>> requests;
  std::vector<std::promise<std::pair<Status, ExchangeReply>>> answers(
      kExchanges);
  for (int i = 0; i < kExchanges; ++i) {
    requests.push_back(std::make_unique<OwnedRequest>());
    OwnedRequest::Table& table = requests.back()->Add(spec.id());
    for (const RowId id : ids) table.Push(id, i + 1, 1, {-1, 0}).Fetch(id);
    store_->Exchange(requests.back()->request(),
                     [&answers, i](Status status, ExchangeReply reply) {
                       answers[static_cast<std::size_t>(i)].set_value(
                           {std::move(status), std::move(reply)});
                     });
  }
  for (int i = 0; i < kExchanges; ++i) {
    const auto [status, reply] =
        answers[static_cast<std::size_t>(i)].get_future().get();
    ASSERT_TRUE(status.ok()) << status.ToString();
    for (std::size_t k = 0; k < ids.size(); ++k) {
      // A repeated read may see later pushes, never fewer than its own.
      ASSERT_GE(reply.tables[0].fetched[k].values[0], i + 1.0f);
      ASSERT_GE(reply.tables[0].fetched[k].clock, i + 1);
    }
  }
  for (const RowId id : ids) {
    EXPECT_EQ(Fetch(*store_, spec.id(), id).values[0], kExchanges);
  }
}

TEST_P(StoreContract, IntegerGradientsOfConcurrentWorkersAreConservedExactly) {
  const TableSpec spec = PlainTable("t");
  constexpr int kWorkers = 3;
  constexpr int kExchanges = 80;
  std::vector<std::map<RowId, float>> produced(kWorkers);
  std::vector<std::thread> threads;
  std::vector<Status> failures(kWorkers);
  std::vector<std::shared_ptr<EmbeddingStore>> stores;
  for (int w = 0; w < kWorkers; ++w) {
    stores.push_back(deployment_->NewWorker());
    ASSERT_TRUE(stores.back()->CreateTable(spec).ok());
  }
  for (std::size_t w = 0; w < kWorkers; ++w) {
    threads.emplace_back([&, w] {
      std::mt19937_64 random(w);
      for (int i = 0; i < kExchanges; ++i) {
        OwnedRequest request;
        OwnedRequest::Table& table = request.Add(spec.id());
        const int pushes = static_cast<int>(random() % 4);
        for (int k = 0; k < pushes; ++k) {
          const RowId id = static_cast<RowId>(random() % 20) - 10;
          const float gradient = static_cast<float>(random() % 64);
          table.Push(id, i, 1, {gradient, 1});
          produced[w][id] += gradient;
        }
        table.Fetch(static_cast<RowId>(random() % 20) - 10);
        const Status status = ExchangeStatus(*stores[w], request);
        if (!status.ok()) failures[w] = status;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& failure : failures) {
    ASSERT_TRUE(failure.ok()) << failure.ToString();
  }
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  for (RowId id = -10; id < 10; ++id) {
    float sum = 0;
    for (auto& rows : produced) sum += rows[id];
    EXPECT_EQ(Fetch(*store_, spec.id(), id).values[0], -sum) << "id " << id;
  }
}

// --- Shapes of requests. ----------------------------------------------------

TEST_P(StoreContract, AnyPartMayBeEmpty) {
  const TableSpec spec = PlainTable("t"), other = PlainTable("u");
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  ASSERT_TRUE(store_->CreateTable(other).ok());
  OwnedRequest nothing;
  EXPECT_TRUE(Exchange(*store_, nothing).tables.empty());
  OwnedRequest empty_tables;
  empty_tables.Add(spec.id());
  empty_tables.Add(other.id());
  EXPECT_EQ(Exchange(*store_, empty_tables).tables.size(), 2u);
  OwnedRequest push;
  push.Add(spec.id()).Push(1, 1, 1, {-1, 0});
  Exchange(*store_, push);
  OwnedRequest validate;
  validate.Add(spec.id(), 0).Validate(1, 0);
  EXPECT_NE(Exchange(*store_, validate).tables[0].validated[0].values, nullptr);
  OwnedRequest second_only;
  second_only.Add(spec.id());
  second_only.Add(other.id()).Fetch(1);
  EXPECT_TRUE(Exchange(*store_, second_only).tables[1].fetched[0].initial);
}

TEST_P(StoreContract, TablesOfOneExchangeDoNotMix) {
  TableSpec wide = PlainTable("wide");
  wide.dimension = 7;
  const TableSpec plain = PlainTable("plain"), slots = AdagradTable("slots");
  for (const TableSpec& spec : {wide, plain, slots}) {
    ASSERT_TRUE(store_->CreateTable(spec).ok());
  }
  OwnedRequest request;
  request.Add(slots.id()).Push(1, 9, 1, {1, 1}).Fetch(2);
  request.Add(wide.id())
      .Push(1, 3, 1, {-1, -2, -3, -4, -5, -6, -7})
      .Fetch(1);
  request.Add(plain.id()).Push(1, 2, 1, {-8, -9}).Fetch(1).Fetch(4);
  const ExchangeReply reply = Exchange(*store_, request);
  EXPECT_EQ(ToRow(reply.tables[1].fetched[0], 7).values,
            (std::vector<float>{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(reply.tables[1].fetched[0].clock, 3);
  EXPECT_EQ(ToRow(reply.tables[2].fetched[0], 2).values,
            (std::vector<float>{8, 9}));
  EXPECT_TRUE(reply.tables[2].fetched[1].initial);
  EXPECT_TRUE(reply.tables[0].fetched[0].initial);
  EXPECT_FALSE(Fetch(*store_, slots.id(), 1).initial);
  EXPECT_EQ(Fetch(*store_, slots.id(), 1).clock, 9);
}

TEST_P(StoreContract, ARefusedRequestAppliesNothingAndTheNextOneGoesOn) {
  const TableSpec good = PlainTable("good"), spec = PlainTable("t");
  ASSERT_TRUE(store_->CreateTable(good).ok());
  ASSERT_TRUE(store_->CreateTable(spec).ok());
  const auto refused = [&](const std::function<void(OwnedRequest&)>& breaks,
                           StatusCode code, const std::string& text) {
    OwnedRequest request;
    // Ids on every shard: whichever is asked first must wait for the check.
    OwnedRequest::Table& fine = request.Add(good.id());
    for (RowId id = 0; id < 30; ++id) fine.Push(id, 1, 1, {-1, -1});
    breaks(request);
    const Status status = ExchangeStatus(*store_, request);
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.message().find(text), std::string::npos)
        << status.ToString();
  };
  const StatusCode invalid = StatusCode::kInvalidArgument;
  refused([](OwnedRequest& r) { r.Add(12345).Fetch(1); }, StatusCode::kNotFound,
          "12345");
  refused([&](OwnedRequest& r) {
    r.Add(spec.id()).Push(1, 1, 1, {1, 1}).push_clocks.push_back(2);
  }, invalid, "'t'");
  refused([&](OwnedRequest& r) {
    r.Add(spec.id()).Push(1, 1, 1, {1, 1}).push_learning_rates.clear();
  }, invalid, "learning rates");
  refused([&](OwnedRequest& r) {
    r.Add(spec.id()).Push(1, 1, 1, {1, 1, 1});
  }, invalid, "gradient values");
  refused([&](OwnedRequest& r) {
    r.Add(spec.id()).Validate(1, 1).validate_clocks.push_back(3);
  }, invalid, "validated");
  refused([&](OwnedRequest& r) {
    r.Add(spec.id()).Push(1, -1, 1, {1, 1});
  }, invalid, "negative");
  refused([&](OwnedRequest& r) { r.Add(spec.id()).Validate(1, -5); }, invalid,
          "negative");
  refused([&](OwnedRequest& r) { r.Add(spec.id(), -1).Validate(1, 5); },
          invalid, "staleness");
  EXPECT_EQ(StoredRows(*store_, "good"), 0);
  EXPECT_EQ(StoredRows(*store_, "t"), 0);
  EXPECT_TRUE(Fetch(*store_, good.id(), 1).initial);
  Push(*store_, good.id(), 1, 1, {-1, -1});
  EXPECT_EQ(Fetch(*store_, good.id(), 1).values, (std::vector<float>{1, 1}));
}

}  // namespace het
