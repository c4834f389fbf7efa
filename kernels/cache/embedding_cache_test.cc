// EmbeddingCache: what its header promises one caller: statistics, when
// gradients travel, capacity, read modes. (Refusals and failures:
// embedding_cache_errors_test.cc; consistency: invariants_test.cc.)

#include <numeric>

#include "kernels/cache/embedding_cache_fixture.h"

namespace het {
namespace {

TEST_F(EmbeddingCacheTest, DuplicatesReadOneRowAndCommitOnce) {
  Open();
  EXPECT_EQ(Lookup({7, 7, 8, 7}), (std::vector<float>{10, 10, 10, 10}));
  EXPECT_EQ(spy_->fetched, (Ids{7, 8}));
  ASSERT_TRUE(Update({7, 7, 8, 7}, {1, 2, 3, 4}, 0.5f, 2).ok());
  EXPECT_EQ(Lookup({7, 8}), (std::vector<float>{3, 7}));
  ASSERT_TRUE(Flush().ok());
  EXPECT_EQ(Stored(7), 3);
  EXPECT_EQ(Stored(8), 7);
  const CacheStats stats = cache_->stats();
  EXPECT_EQ(stats.updates, 1);
  EXPECT_EQ(stats.updated_rows, 2);
  EXPECT_EQ(stats.pushed_rows, 2);
}

TEST_F(EmbeddingCacheTest, CountsHitsMissesAndInvalidReads) {
  Open();
  Lookup({1, 2, 2});
  EXPECT_EQ(cache_->stats().misses, 2);
  ASSERT_TRUE(Update({1, 2}, {1, 1}).ok());
  Lookup({1, 3});
  CacheStats stats = cache_->stats();
  EXPECT_EQ(stats.lookups, 2);
  EXPECT_EQ(stats.ids, 5);
  EXPECT_EQ(stats.unique_ids, 4);
  EXPECT_EQ(stats.hits, 1);
  EXPECT_EQ(stats.misses, 3);
  EXPECT_EQ(stats.invalid, 0);
  EXPECT_EQ(stats.staleness[1], 1) << "read one tick after its fetch";
  EXPECT_EQ(stats.rows, 3);
  EXPECT_EQ(stats.pending_rows, 2);
  EXPECT_GT(stats.memory_bytes, 0);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Update({1}, {1}).ok());
  Lookup({1});  // three commits since its fetch: used up at s = 2
  stats = cache_->stats();
  EXPECT_EQ(stats.invalid, 1);
  EXPECT_EQ(spy_->fetched, Ids{1});
  EXPECT_EQ(spy_->pushed, Ids{1});
  EXPECT_EQ(Lookup({1}), std::vector<float>{7});
}

TEST_F(EmbeddingCacheTest, ACachedRowTakesNoMoreThanTheFormulaSays) {
  constexpr RowId kRows = 100'000;
  constexpr std::size_t kDimension = 4;
  spec_.dimension = kDimension;
  spec_.optimizer = {"adagrad", {{"initial_accumulator_value", 0.1f}}};
  options_.capacity = kRows;
  for (const char* policy : {"lru", "lfu", "light_lfu"}) {
    options_.policy = policy;
    Open();
    for (RowId first = 0; first < 2 * kRows; first += 1000) {
      Ids ids(1000);
      std::iota(ids.begin(), ids.end(), first);
      Lookup(ids);
      ASSERT_TRUE(
          Update(ids, std::vector<float>(ids.size() * kDimension, 1)).ok());
    }
    const CacheStats stats = cache_->stats();
    EXPECT_EQ(stats.rows, kRows) << policy;
    // A step's own rows come on top.
    EXPECT_LE(stats.memory_bytes, (kRows + 1000) * (8 * kDimension + 56) +
                                      (RowId{256} << 10))
        << policy;
  }
}

TEST_F(EmbeddingCacheTest, StalenessZeroPushesBeforeTheUpdateIsDone) {
  options_.staleness = 0;
  Open();
  Lookup({1, 2});
  ASSERT_TRUE(Update({1, 2}, {1, 2}).ok());
  EXPECT_EQ(Stored(1), 9);
  EXPECT_EQ(Stored(2), 8);
  EXPECT_EQ(cache_->stats().pending_rows, 0);
  EXPECT_EQ(spy_->exchanges, 2) << "one to read, one to push";
}

TEST_F(EmbeddingCacheTest, WithoutACacheRowsGoWhenTheirStepIsOver) {
  options_.capacity = 0;
  Open();
  Lookup({1, 2});
  EXPECT_EQ(cache_->stats().rows, 2) << "kept until the commit";
  ASSERT_TRUE(Update({1, 2}, {1, 2}).ok());
  EXPECT_EQ(cache_->stats().rows, 0);
  EXPECT_EQ(Stored(1), 9);
  Lookup({1}, ReadMode::kInference);
  EXPECT_EQ(cache_->stats().rows, 0);
  EXPECT_EQ(cache_->stats().hits, 0);
}

TEST_F(EmbeddingCacheTest, ABoundedStalenessFusesAStepIntoOneExchange) {
  Open();
  Lookup({1, 2});
  for (int step = 0; step < 10; ++step) {
    ASSERT_TRUE(Update({1, 2}, {1, 1}).ok());
    const int before = spy_->exchanges;
    Lookup({1, 2});
    EXPECT_EQ(spy_->exchanges, before + 1);
  }
  EXPECT_EQ(spy_->exchanges, 11);
}

TEST_F(EmbeddingCacheTest, ARowUsedUpIsPushedWithTheNextExchangeUnread) {
  Open();
  Lookup({1});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Update({1}, {1}).ok());
  EXPECT_EQ(Stored(1), 10);
  Lookup({2});
  EXPECT_EQ(spy_->pushed, Ids{1});
  EXPECT_EQ(Stored(1), 7);
  // The push has not renewed the copy: reading it fetches it.
  Lookup({1});
  EXPECT_EQ(spy_->fetched, Ids{1});
  EXPECT_EQ(spy_->pushed, Ids{});
}

TEST_F(EmbeddingCacheTest, AnIdleDirtyRowIsPushedAfterMaxPendingCommits) {
  options_.staleness = 5;
  options_.max_pending_commits = 3;
  Open();
  Lookup({1, 2});
  ASSERT_TRUE(Update({1}, {1}).ok());
  for (int step = 0; step < 3; ++step) {
    EXPECT_EQ(Stored(1), 10) << step;
    Lookup({2});
    ASSERT_TRUE(Update({2}, {1}).ok());
  }
  Lookup({2});
  EXPECT_EQ(Stored(1), 9);
}

TEST_F(EmbeddingCacheTest, UnboundedStalenessNeverAsksAgain) {
  options_.staleness = kUnboundedStaleness;
  Open();
  Lookup({1});
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(Update({1}, {1}).ok());
    EXPECT_EQ(Lookup({1}), std::vector<float>{9.0f - static_cast<float>(i)});
  }
  EXPECT_EQ(spy_->exchanges, 1);
  ASSERT_TRUE(Flush().ok());
  EXPECT_EQ(Stored(1), -40);
}

TEST_F(EmbeddingCacheTest, IdleRowsArePushedThoughEveryReadIsAHit) {
  options_.staleness = kUnboundedStaleness;
  options_.max_pending_commits = 3;
  Open();
  Lookup({1, 2});
  ASSERT_TRUE(Update({1}, {1}).ok());
  for (int step = 0; step < 3; ++step) ASSERT_TRUE(Update({2}, {1}).ok());
  spy_->hold = true;
  EXPECT_EQ(Lookup({2}), std::vector<float>{7}) << "it waits for the push";
  spy_->Release();
  EXPECT_EQ(Stored(1), 9);
}

TEST_F(EmbeddingCacheTest, AtUnboundedStalenessAPushOfADueRowRefreshesIt) {
  options_.staleness = kUnboundedStaleness;
  options_.max_pending_commits = 2;
  Open();
  Lookup({1});
  const auto worker = deployment_->NewWorker();
  ASSERT_TRUE(worker->CreateTable(spec_).ok());
  OwnedRequest request;
  request.Add(spec_.id()).Push(1, 1, 1, {5});
  ASSERT_TRUE(ExchangeAndWait(*worker, request.request()).ok());
  for (int step = 0; step < 3; ++step) ASSERT_TRUE(Update({1}, {1}).ok());
  Lookup({1});  // does not wait for the push
  EXPECT_EQ(spy_->pushed, Ids{1});
  EXPECT_EQ(spy_->fetched, Ids{1});
  EXPECT_EQ(Lookup({1}), std::vector<float>{2});
  EXPECT_EQ(Stored(1), 2);
}

TEST_F(EmbeddingCacheTest, AdagradPushesHotRowsAtUnboundedStaleness) {
  options_.staleness = kUnboundedStaleness;
  spec_.optimizer = {"adagrad", {}};
  Open();
  for (int step = 0; step < 2500; ++step) {
    Lookup({1});
    ASSERT_TRUE(Update({1}, {1}).ok());
  }
  EXPECT_EQ(cache_->stats().pushed_rows, 2);
}

TEST_F(EmbeddingCacheTest, TheLargestMaxPendingCommitsMeansNever) {
  options_.staleness = 5;
  options_.max_pending_commits = std::numeric_limits<std::int64_t>::max() - 1;
  Open();
  Lookup({1, 2});
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Update({}, {}).ok());
  ASSERT_TRUE(Update({1}, {1}).ok());
  ASSERT_TRUE(Update({2}, {1}).ok());
  Lookup({2});
  EXPECT_EQ(Stored(1), 10);
}

TEST_F(EmbeddingCacheTest, CapacityBoundsTheRowsKeptBetweenSteps) {
  options_.capacity = 3;
  options_.policy = "lru";
  Open();
  for (RowId id = 0; id < 20; ++id) {
    Lookup({id, 100 + id});
    EXPECT_LE(cache_->stats().rows, 3 + 2);
    ASSERT_TRUE(Update({id, 100 + id}, {1, 1}).ok());
    EXPECT_LE(cache_->stats().rows, 3);
  }
  EXPECT_EQ(cache_->stats().evictions, 37);
  ASSERT_TRUE(Flush().ok());
  for (RowId id = 0; id < 20; ++id) {
    EXPECT_EQ(Stored(id), 9) << id;
    EXPECT_EQ(Stored(100 + id), 9) << id;
  }
}

TEST_F(EmbeddingCacheTest, ABatchLargerThanTheCapacityStaysUntilItsCommit) {
  options_.capacity = 1;
  Open();
  const Ids ids = {1, 2, 3, 4, 5};
  Lookup(ids);
  EXPECT_EQ(cache_->stats().rows, 5);
  const int before = spy_->exchanges;
  ASSERT_TRUE(Update(ids, {1, 2, 3, 4, 5}).ok());
  EXPECT_EQ(spy_->exchanges, before) << "nothing had to be fetched again";
  EXPECT_EQ(cache_->stats().rows, 1);
}

TEST_F(EmbeddingCacheTest, ForwardPassesWithoutACommitDoNotPinRowsForEver) {
  options_.capacity = 2;
  Open();
  for (RowId id = 0; id < 1000; ++id) Lookup({id});
  EXPECT_LE(cache_->stats().rows, 2 + 64);
}

TEST_F(EmbeddingCacheTest, FreshReadsPassTheCacheAndAreNotCounted) {
  options_.staleness = 100;
  Open();
  Lookup({1});
  ASSERT_TRUE(Update({1}, {1}).ok());
  // Another worker writes the row.
  const auto worker = deployment_->NewWorker();
  ASSERT_TRUE(worker->CreateTable(spec_).ok());
  OwnedRequest request;
  request.Add(spec_.id()).Push(1, 1, 1, {5});
  ASSERT_TRUE(ExchangeAndWait(*worker, request.request()).ok());
  EXPECT_EQ(Lookup({1}, ReadMode::kInference), std::vector<float>{9});
  const CacheStats before = cache_->stats();
  EXPECT_EQ(Lookup({1, 2}, ReadMode::kFresh), (std::vector<float>{4, 10}));
  const CacheStats after = cache_->stats();
  EXPECT_EQ(after.lookups, before.lookups);
  EXPECT_EQ(after.hits, before.hits);
  EXPECT_EQ(after.misses, before.misses);
  EXPECT_EQ(after.rows, 1) << "a fresh read keeps no new row";
  EXPECT_EQ(Lookup({1}), std::vector<float>{4});
}

TEST_F(EmbeddingCacheTest, ReadsOfInferenceNeitherTickNorCreateRows) {
  Open();
  Lookup({1}, ReadMode::kInference);
  Lookup({1}, ReadMode::kFresh);
  const auto stats = spy_->Stats();
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->front().tables[0].rows, 0);
  EXPECT_EQ(cache_->stats().staleness[0], 0);
}

// The shard sends a flag for them; the rows are the cache's own work.
TEST_F(EmbeddingCacheTest, UntouchedRowsAreThoseOfTheInitializer) {
  spec_.seed = 77;
  for (const char* name : {"uniform", "normal"}) {
    spec_.name = name;
    spec_.initializer = {name, {}};
    Open();
    const std::vector<float> rows = Lookup({5, -9, RowId{1} << 60});
    EXPECT_EQ(rows[0], InitialRow(spec_, 5)[0]);
    EXPECT_EQ(rows[1], InitialRow(spec_, -9)[0]);
    EXPECT_EQ(rows[2], InitialRow(spec_, RowId{1} << 60)[0]);
  }
}

}  // namespace
}  // namespace het
