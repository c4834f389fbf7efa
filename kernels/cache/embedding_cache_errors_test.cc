// EmbeddingCache: assignments, refusals, failures, and many threads at once.

#include <atomic>
#include <cmath>
#include <functional>
#include <thread>

#include "kernels/cache/embedding_cache_fixture.h"

namespace het {
namespace {

TEST_F(EmbeddingCacheTest, AssignOverwritesStoreAndCopies) {
  Open();
  Lookup({1, 2});
  ASSERT_TRUE(Update({1}, {1}).ok());
  const std::vector<float> rows = {50, 60};
  ASSERT_TRUE(cache_->Assign(Ids{1, 9}, rows).ok());
  EXPECT_EQ(Stored(1), 50);
  EXPECT_EQ(Stored(9), 60);
  EXPECT_EQ(Lookup({1, 2, 9}), (std::vector<float>{50, 10, 60}));
  ASSERT_TRUE(Update({1}, {1}).ok());
  ASSERT_TRUE(Flush().ok());
  EXPECT_EQ(Stored(1), 49);
}

TEST_F(EmbeddingCacheTest, AssignOutdatesACopyInUseAndItsFetchUnderWay) {
  options_.staleness = kUnboundedStaleness;
  spec_.optimizer = {"adagrad", {}};
  Open();
  std::vector<float> rows(1);
  bool read = false;
  spy_->before_assign = [&] {
    spy_->hold = true;
    cache_->Lookup(Ids{1}, ReadMode::kTraining, rows.data(),
                   [&](Status status) { read = status.ok(); });
    spy_->hold = false;
  };
  const std::vector<float> assigned = {50};
  ASSERT_TRUE(cache_->Assign(Ids{1}, assigned).ok());
  spy_->Release();
  ASSERT_TRUE(read);
  EXPECT_EQ(Lookup({1}), std::vector<float>{50});
}

TEST_F(EmbeddingCacheTest, AfterARestoreForgottenRowsAreReadAnew) {
  options_.staleness = kUnboundedStaleness;
  Open();
  Lookup({1, 2});
  ASSERT_TRUE(Update({1, 2}, {1, 2}).ok());
  // What is pending would be lost with the copies.
  const Status pending = cache_->Forget();
  EXPECT_EQ(pending.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(pending.message().find("updates of 2 rows are pending"),
            std::string::npos)
      << pending.ToString();
  ASSERT_TRUE(Flush().ok());
  CheckpointSite& site = deployment_->checkpoints();
  ASSERT_TRUE(site.Save(*spy_, "a").ok());
  ASSERT_TRUE(Update({1}, {5}).ok());
  ASSERT_TRUE(Flush().ok());
  std::vector<float> in_use(1);
  bool read = false;
  spy_->hold = true;
  cache_->Lookup(Ids{3}, ReadMode::kTraining, in_use.data(),
                 [&](Status status) { read = status.ok(); });
  spy_->hold = false;
  EXPECT_EQ(Lookup({1, 2}), (std::vector<float>{4, 8}));
  ASSERT_TRUE(site.Load(*spy_, {{"a", 1}}).ok());
  ASSERT_TRUE(cache_->Forget().ok());
  EXPECT_EQ(Lookup({1, 2}), (std::vector<float>{9, 8}));
  spy_->Release();
  EXPECT_TRUE(read);
  EXPECT_EQ(Lookup({3}), std::vector<float>{10});
  // Clocks have gone back, and training goes on from there.
  ASSERT_TRUE(Update({1}, {1}).ok());
  ASSERT_TRUE(Flush().ok());
  EXPECT_EQ(Stored(1), 8);
}

TEST_F(EmbeddingCacheTest, AnOptimizerThatComesLateKeepsStepScalesOfTheShard) {
  spec_.optimizer = {"none", {}};
  options_.staleness = kUnboundedStaleness;
  Open();
  const ComponentSpec adagrad = {"adagrad", {}};
  const auto worker = deployment_->NewWorker();
  TableSpec trained = spec_;
  trained.optimizer = adagrad;
  ASSERT_TRUE(worker->CreateTable(spec_).ok());
  ASSERT_TRUE(worker->CreateTable(trained).ok());
  OwnedRequest request;
  request.Add(spec_.id()).Push(1, 1, 1, {100});
  ASSERT_TRUE(ExchangeAndWait(*worker, request.request()).ok());
  const float before = Lookup({1})[0];
  ASSERT_TRUE(cache_->SetOptimizer(adagrad).ok());
  Lookup({1});
  ASSERT_TRUE(Update({1}, {1}).ok());
  // A step with the accumulator of the other worker's push is small.
  EXPECT_NEAR(Lookup({1})[0], before, 0.02f);
}

TEST_F(EmbeddingCacheTest, IdsOutsideOfTheVocabularyAreErrors) {
  options_.vocabulary_size = 10;
  Open();
  std::vector<float> rows;
  for (const RowId id : {RowId{10}, RowId{-1}, RowId{1} << 40}) {
    const Status status = TryLookup({3, id, 4}, &rows);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("id " + std::to_string(id) +
                                    " at position 1 is not in [0, 10)"),
              std::string::npos)
        << status.ToString();
    EXPECT_EQ(Update({3, id}, {1, 1}).code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(spy_->exchanges, 0);
  EXPECT_TRUE(TryLookup({0, 9}, &rows).ok());
}

TEST_F(EmbeddingCacheTest, NonFiniteGradientsAreRejectedOnRequest) {
  options_.reject_non_finite = true;
  Open();
  Lookup({1, 2});
  for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    const Status status = Update({1, 2}, {1, bad});
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("id 2"), std::string::npos);
  }
  EXPECT_EQ(Lookup({1, 2}), (std::vector<float>{10, 10}));
  EXPECT_EQ(cache_->stats().updates, 0);
  options_.reject_non_finite = false;
  Open();
  ASSERT_TRUE(Update({1}, {kNan}).ok());
  EXPECT_TRUE(std::isnan(Lookup({1})[0]));
}

TEST_F(EmbeddingCacheTest, EmptyBatchesAreFine) {
  Open();
  EXPECT_TRUE(Lookup({}).empty());
  EXPECT_TRUE(Update({}, {}).ok());
  EXPECT_TRUE(Flush().ok());
  EXPECT_EQ(spy_->exchanges, 0);
}

TEST_F(EmbeddingCacheTest, CreateRefusesOptionsThatCannotBe) {
  Open();
  const auto refused = [&](const std::function<void(CacheOptions&)>& change,
                           const char* text) {
    CacheOptions options;
    change(options);
    const Status status = EmbeddingCache::Create(spec_, options, spy_).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(text), std::string::npos)
        << status.ToString();
  };
  refused([](CacheOptions& o) { o.capacity = -1; }, "capacity is -1");
  refused([](CacheOptions& o) { o.staleness = -3; }, "staleness is -3");
  refused([](CacheOptions& o) { o.max_pending_commits = -1; },
          "max_pending_commits is -1");
  refused([](CacheOptions& o) { o.vocabulary_size = -1; },
          "vocabulary_size is -1");
  refused([](CacheOptions& o) { o.policy = "fifo"; }, "fifo");
  TableSpec other = spec_;
  other.dimension = 2;
  EXPECT_EQ(EmbeddingCache::Create(other, {}, spy_).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(EmbeddingCacheTest, AFailedExchangeReachesTheCallerAndEveryLaterCall) {
  Open();
  Lookup({1});
  ASSERT_TRUE(Update({1}, {1}).ok());
  spy_->failure = Unavailable("shard 1 is gone");
  std::vector<float> rows;
  Status status = TryLookup({1, 2}, &rows);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "table 't': shard 1 is gone");
  spy_->failure = OkStatus();
  const int before = spy_->exchanges;
  EXPECT_FALSE(TryLookup({1}, &rows).ok());
  EXPECT_FALSE(Update({1}, {1}).ok());
  EXPECT_FALSE(Flush().ok());
  EXPECT_EQ(spy_->exchanges, before);
}

TEST_F(EmbeddingCacheTest, ATableWithoutAnOptimizerGetsOneBeforeItsFirstUpdate) {
  spec_.optimizer = {"none", {}};
  Open();
  EXPECT_EQ(Lookup({1}), std::vector<float>{10});
  EXPECT_EQ(Update({1}, {1}).code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(cache_->Assign(Ids{1}, std::vector<float>{20}).ok());
  ASSERT_TRUE(cache_->SetOptimizer({"sgd", {}}).ok());
  EXPECT_EQ(cache_->optimizer(), (ComponentSpec{"sgd", {}}));
  EXPECT_TRUE(cache_->SetOptimizer({"sgd", {}}).ok());
  EXPECT_EQ(cache_->SetOptimizer({"adagrad", {}}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Lookup({1}), std::vector<float>{20});
  ASSERT_TRUE(Update({1}, {1}).ok());
  ASSERT_TRUE(Flush().ok());
  EXPECT_EQ(Stored(1), 19);
}

TEST_F(EmbeddingCacheTest, ManyThreadsConserveTheirGradients) {
  options_.capacity = 5;
  Open();
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const Ids ids = {(i * 7 + t) % 13, i % 5};
        std::vector<float> rows(2);
        const std::vector<float> ones = {-1, -1};
        std::promise<Status> read, written, flushed;
        cache_->Lookup(ids, i % 9 == 0 ? ReadMode::kFresh : ReadMode::kTraining,
                       rows.data(), [&](Status s) { read.set_value(s); });
        if (!read.get_future().get().ok()) ++failures;
        cache_->Update(ids, ones.data(), 1, 1,
                       [&](Status s) { written.set_value(s); });
        if (!written.get_future().get().ok()) ++failures;
        if (i % 20 != 0) continue;
        cache_->Flush([&](Status s) { flushed.set_value(s); });
        if (!flushed.get_future().get().ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  ASSERT_TRUE(Flush().ok());
  float sum = 0;
  for (RowId id = 0; id < 13; ++id) sum += Stored(id) - 10;
  EXPECT_EQ(sum, 4 * 200 * 2);
  EXPECT_EQ(cache_->stats().pending_rows, 0);
}

}  // namespace
}  // namespace het
