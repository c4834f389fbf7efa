// EmbeddingCache::Prefetch: what is asked ahead, what the lookup still waits for,
// and when it is not used.

#include <map>
#include <thread>

#include "kernels/base/mutex.h"
#include "kernels/cache/embedding_cache_fixture.h"

namespace het {
namespace {

class PrefetchTest : public EmbeddingCacheTest {
 protected:
  Status Prefetch(const std::vector<Ids>& lookups, int ahead = 1) {
    std::vector<Span<const RowId>> spans(lookups.begin(), lookups.end());
    std::promise<Status> done;
    cache_->Prefetch(spans, ahead,
                     [&](Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }
  // Another worker's step of size 1 on the row, pushed with this clock.
  void PushFromElsewhere(RowId id, Clock clock) {
    const auto worker = deployment_->NewWorker();
    ASSERT_TRUE(worker->CreateTable(spec_).ok());
    const float gradient = 1;
    OwnedRequest request;
    request.Add(spec_.id()).Push(id, clock, 1.0f, {gradient});
    ASSERT_TRUE(ExchangeAndWait(*worker, request.request()).ok());
  }
  std::int64_t prefetched() const { return cache_->stats().prefetched; }
};

TEST_F(PrefetchTest, ALookupOfTheSameIdsAsksNothingMore) {
  Open();
  ASSERT_TRUE(Prefetch({{1, 2, 1}}).ok());
  EXPECT_EQ(spy_->exchanges, 1);
  EXPECT_EQ(spy_->fetched, (Ids{1, 2}));
  EXPECT_EQ(Lookup({1, 2, 1}), std::vector<float>(3, 10));
  EXPECT_EQ(spy_->exchanges, 1);
  const CacheStats stats = cache_->stats();
  EXPECT_EQ(stats.prefetched, 1);
  EXPECT_EQ(stats.lookups, 1);
  EXPECT_EQ(stats.ids, 3);
  EXPECT_EQ(stats.misses, 2);
}

TEST_F(PrefetchTest, ItsLookupWaitsForTheAnswerAndForNothingLater) {
  Open();
  spy_->hold = true;
  ASSERT_TRUE(Prefetch({{1, 2}}).ok()) << "it is done when it is sent";
  std::vector<float> rows(2);
  bool read = false;
  const Ids ids = {1, 2};
  cache_->Lookup(ids, ReadMode::kTraining, rows.data(),
                 [&](Status status) { read = status.ok(); });
  EXPECT_FALSE(read);
  spy_->Release();
  EXPECT_TRUE(read);
  EXPECT_EQ(rows, std::vector<float>(2, 10));
  ASSERT_TRUE(Update(ids, {1, 1}).ok());

  spy_->hold = false;
  ASSERT_TRUE(Prefetch({{1}}).ok());
  spy_->hold = true;
  ASSERT_TRUE(Prefetch({{1, 3}}).ok());
  EXPECT_EQ(spy_->validated, Ids{1});
  EXPECT_EQ(Lookup({1}), std::vector<float>{9})
      << "the answer to the later prefetch is not there yet";
  EXPECT_EQ(prefetched(), 2);
  spy_->Release();
}

TEST_F(PrefetchTest, LookupsOfOneStepGoOutTogether) {
  Open();
  ASSERT_TRUE(Prefetch({{1, 2}, {2, 3}}).ok());
  EXPECT_EQ(spy_->exchanges, 1);
  EXPECT_EQ(spy_->fetched, (Ids{1, 2, 3}));
  Lookup({2, 3});
  Lookup({1, 2});
  EXPECT_EQ(spy_->exchanges, 1);
  EXPECT_EQ(prefetched(), 2);
}

TEST_F(PrefetchTest, APartedLookupIsOneOfItsPartsInOrder) {
  Open();
  ASSERT_TRUE(Prefetch({{1, 2, 3}}).ok());
  std::vector<float> rows(3);
  const Ids front = {1}, back = {2, 3};
  const std::vector<LookupPart> parts = {{front, rows.data()},
                                         {back, rows.data() + 1}};
  bool read = false;
  cache_->Lookup(parts, ReadMode::kTraining,
                 [&](Status status) { read = status.ok(); });
  EXPECT_TRUE(read);
  EXPECT_EQ(rows, std::vector<float>(3, 10));
  EXPECT_EQ(spy_->exchanges, 1);
}

TEST_F(PrefetchTest, OtherIdsAreLookedUpAsEver) {
  Open();
  ASSERT_TRUE(Prefetch({{1, 2}}).ok());
  for (const Ids& other : {Ids{2, 1}, Ids{1}, Ids{1, 2, 3}}) {
    EXPECT_EQ(Lookup(other), std::vector<float>(other.size(), 10));
  }
  EXPECT_EQ(prefetched(), 0);
  Lookup({1, 2}, ReadMode::kInference);
  Lookup({1, 2}, ReadMode::kFresh);
  EXPECT_EQ(prefetched(), 0) << "only training takes over";
  Lookup({1, 2});
  EXPECT_EQ(prefetched(), 1);
}

TEST_F(PrefetchTest, PushesThatAreDueTravelWithIt) {
  Open();
  Lookup({1});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Update({1}, {1}).ok());
  ASSERT_TRUE(Prefetch({{2}}).ok());
  EXPECT_EQ(spy_->pushed, Ids{1});
  EXPECT_EQ(Stored(1), 7);
}

TEST_F(PrefetchTest, ReadsAreAsOldAsThePrefetchAndLackNoOwnUpdate) {
  options_.staleness = 1;
  Open();
  Lookup({1});
  ASSERT_TRUE(Update({1}, {1}).ok());
  ASSERT_TRUE(Prefetch({{1}}).ok());
  PushFromElsewhere(1, 100);
  ASSERT_TRUE(Update({1}, {1}).ok());
  EXPECT_EQ(Lookup({1}), std::vector<float>{8});
  EXPECT_EQ(prefetched(), 1);
  EXPECT_EQ(Lookup({1}), std::vector<float>{7}) << "validated and renewed";
}

TEST_F(PrefetchTest, MoreCommitsThanItWasMeantForAreAReasonToAskAgain) {
  options_.staleness = 5;
  Open();
  ASSERT_TRUE(Prefetch({{1}}, 2).ok());
  PushFromElsewhere(1, 100);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Update({2}, {1}).ok());
  EXPECT_EQ(Lookup({1}), std::vector<float>{9});
  EXPECT_EQ(prefetched(), 0);
}

TEST_F(PrefetchTest, StagedRowsStayWhateverTheCapacity) {
  options_.capacity = 1;
  Open();
  ASSERT_TRUE(Prefetch({{1, 2, 3}}, 2).ok());
  ASSERT_TRUE(Prefetch({{4, 5}}, 2).ok());
  EXPECT_EQ(cache_->stats().rows, 5);
  EXPECT_EQ(Lookup({1, 2, 3}), std::vector<float>(3, 10));
  ASSERT_TRUE(Update({1, 2, 3}, {1, 1, 1}).ok());
  EXPECT_EQ(cache_->stats().rows, 3) << "two staged, one kept";
  EXPECT_EQ(Lookup({4, 5}), std::vector<float>(2, 10));
  EXPECT_EQ(spy_->exchanges, 2);
}

TEST_F(PrefetchTest, WhatNobodyTakesIsLetGoOldestFirst) {
  options_.capacity = 1;
  Open();
  for (RowId id = 1; id <= 5; ++id) ASSERT_TRUE(Prefetch({{id}}, 1).ok());
  EXPECT_EQ(cache_->stats().rows, 3) << "two staged, one kept";
  EXPECT_EQ(cache_->stats().evictions, 2);
  Lookup({4});
  Lookup({5});
  EXPECT_EQ(prefetched(), 2);
  Lookup({1});
  EXPECT_EQ(prefetched(), 2);
}

TEST_F(PrefetchTest, RowsInFlightOutliveTheBatchThatIsLetGo) {
  options_.capacity = 0;
  Open();
  spy_->hold = true;
  for (RowId id = 1; id <= 4; ++id) ASSERT_TRUE(Prefetch({{id}}, 1).ok());
  EXPECT_EQ(cache_->stats().rows, 4) << "the answers have a place to go to";
  spy_->Release();
  EXPECT_EQ(cache_->stats().rows, 2) << "those that are staged";
  spy_->hold = false;
  for (RowId id = 1; id <= 4; ++id) {
    EXPECT_EQ(Lookup({id}), std::vector<float>{10});
  }
  EXPECT_EQ(prefetched(), 2);
}

TEST_F(PrefetchTest, ARowThatWillLandUsedUpIsAskedForWhenItHasLanded) {
  options_.staleness = 1;
  Open();
  Lookup({1});
  spy_->hold = true;
  ASSERT_TRUE(Prefetch({{1}}, 2).ok());
  EXPECT_EQ(spy_->validated, Ids{1});
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Update({1}, {1}).ok());
  bool sent = false;
  const Ids ids = {1, 2};
  const Span<const RowId> lookup(ids);
  cache_->Prefetch(Span<const Span<const RowId>>(&lookup, 1), 2,
                   [&](Status status) { sent = status.ok(); });
  EXPECT_FALSE(sent);
  spy_->Release();
  EXPECT_TRUE(sent);
  EXPECT_EQ(spy_->pushed, Ids{1});
  EXPECT_EQ(spy_->fetched, (Ids{1, 2}));
  EXPECT_EQ(Lookup(ids), (std::vector<float>{8, 10}));
}

TEST_F(PrefetchTest, AnAssignmentIsReadAtOnce) {
  Open();
  ASSERT_TRUE(Prefetch({{1, 2}}).ok());
  ASSERT_TRUE(cache_->Assign(Ids{1}, std::vector<float>{5}).ok());
  EXPECT_EQ(Lookup({1, 2}), (std::vector<float>{5, 10}));
  EXPECT_EQ(prefetched(), 0);
}

TEST_F(PrefetchTest, ATableThatGetsItsOptimizerAsksAgain) {
  spec_.optimizer = {"none", {}};
  Open();
  ASSERT_TRUE(Prefetch({{1}}).ok());
  ASSERT_TRUE(cache_->SetOptimizer({"sgd", {}}).ok());
  EXPECT_EQ(Lookup({1}), std::vector<float>{10});
  EXPECT_EQ(prefetched(), 0);
}

TEST_F(PrefetchTest, AFailedExchangeReachesItsLookup) {
  Open();
  spy_->failure = Unavailable("the shard is gone");
  ASSERT_TRUE(Prefetch({{1}}).ok());
  std::vector<float> rows;
  const Status read = TryLookup({1}, &rows);
  EXPECT_EQ(read.code(), StatusCode::kUnavailable);
  EXPECT_NE(read.message().find("table 't'"), std::string::npos)
      << read.message();
  EXPECT_EQ(Prefetch({{2}}).code(), StatusCode::kUnavailable);
}

TEST_F(PrefetchTest, WhatCannotBePrefetchedIsRefused) {
  options_.vocabulary_size = 10;
  Open();
  const Status far = Prefetch({{1}, {2, 10}});
  EXPECT_EQ(far.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(far.message().find("id 10 at position 1"), std::string::npos)
      << far.message();
  EXPECT_EQ(Prefetch({{1}}, 0).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(spy_->exchanges, 0);
  options_.staleness = 0;
  Open();
  const Status strict = Prefetch({{1}});
  EXPECT_EQ(strict.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(strict.message().find("staleness of at least 1"),
            std::string::npos)
      << strict.message();
}

// --- Many threads. ----------------------------------------------------------

TEST_F(PrefetchTest, AThreadAheadOfTheTrainingConservesGradients) {
  constexpr int kSteps = 300, kAhead = 2;
  options_.capacity = 4;
  Open();
  const auto ids_of = [](int step) {
    return Ids{step % 7, (step * 5) % 11, step % 3};
  };
  Mutex mutex;
  CondVar moved;
  int begun = 0, asked = 0;
  std::thread loader([&] {
    for (int step = 0; step < kSteps; ++step) {
      {
        MutexLock lock(&mutex);
        while (step > begun + kAhead) moved.Wait(&mutex);
      }
      EXPECT_TRUE(Prefetch({ids_of(step)}, kAhead).ok());
      MutexLock lock(&mutex);
      ++asked;
      moved.NotifyAll();
    }
  });
  std::map<RowId, float> commits;
  for (int step = 0; step < kSteps; ++step) {
    {
      MutexLock lock(&mutex);
      while (asked <= step) moved.Wait(&mutex);
      begun = step;
      moved.NotifyAll();
    }
    const Ids ids = ids_of(step);
    const std::vector<float> rows = Lookup(ids);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(rows[i], 10 - commits[ids[i]]) << "step " << step;
    }
    EXPECT_TRUE(Update(ids, {1, 1, 1}).ok());
    for (const RowId id : ids) ++commits[id];
  }
  loader.join();
  EXPECT_EQ(prefetched(), kSteps);
  ASSERT_TRUE(Flush().ok());
  for (const auto& [id, count] : commits) EXPECT_EQ(Stored(id), 10 - count);
}

}  // namespace
}  // namespace het
