// Lookups and updates through a device: the bits of the cache's own, memory that
// lives as long as the device needs it, and errors that arrive.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <future>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "kernels/cache/embedding_cache.h"
#include "kernels/gpu/gradient_merge.h"
#include "kernels/gpu/host_row_device_fixture.h"
#include "kernels/gpu/staged_lookup.h"
#include "kernels/testing/local_deployment.h"

namespace het {
namespace {

using Floats = std::vector<float>;
using Ids = std::vector<RowId>;

constexpr std::size_t kDimension = 5;

// A cache of its own before a shard of its own.
struct Worker {
  explicit Worker(const std::string& optimizer, const CacheOptions& options) {
    TableSpec spec;
    spec.name = "t";
    spec.dimension = kDimension;
    spec.seed = 7;
    spec.optimizer = {optimizer, {}};
    auto opened = EmbeddingCache::Create(spec, options, deployment.NewWorker());
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    cache = *opened;
  }
  LocalDeployment deployment{LocalDeployment::Options{}};
  std::shared_ptr<EmbeddingCache> cache;
};

CacheOptions Options(Staleness staleness = 3, std::int64_t capacity = 20) {
  CacheOptions options;
  options.staleness = staleness;
  options.capacity = capacity;
  return options;
}

// Calls start(done) and waits; the deployments answer at once or by themselves.
template <typename StartCall>
Status Wait(StartCall start) {
  std::promise<Status> done;
  start([&](Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

// The rows of the parts, one after the other.
Status Look(EmbeddingCache& cache, const std::vector<Ids>& parts, Floats* rows,
            const std::shared_ptr<HostRowDevice>& device = nullptr,
            ReadMode mode = ReadMode::kTraining) {
  std::size_t size = 0;
  for (const Ids& ids : parts) size += ids.size();
  rows->assign(size * kDimension, std::nanf(""));
  std::vector<LookupPart> lookup;
  std::size_t at = 0;
  for (const Ids& ids : parts) {
    lookup.push_back({ids, rows->data() + at});
    at += ids.size() * kDimension;
  }
  return Wait([&](EmbeddingCache::Done done) {
    if (device != nullptr) {
      StagedLookup(cache, lookup, mode, device, std::move(done));
    } else {
      cache.Lookup(lookup, mode, std::move(done));
    }
  });
}

bool SameBits(const Floats& a, const Floats& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(StagedCalls, TrainLikeTheCacheBitForBit) {
  for (const char* optimizer : {"sgd", "adagrad"}) {
    for (const CacheOptions& options :
         {Options(0), Options(3), Options(0, 0),
          Options(kUnboundedStaleness, 4)}) {
      Worker plain(optimizer, options), staged(optimizer, options);
      const auto device = std::make_shared<HostRowDevice>();
      std::mt19937 random(5);
      std::normal_distribution<float> normal(0, 1);
      for (int step = 0; step < 40; ++step) {
        std::vector<Ids> parts(3);
        Ids all;
        for (Ids& ids : parts) {
          ids.resize(random() % 12);
          for (RowId& id : ids) id = static_cast<RowId>(random() % 30) - 9;
          all.insert(all.end(), ids.begin(), ids.end());
        }
        Floats expected, rows;
        ASSERT_TRUE(Look(*plain.cache, parts, &expected).ok());
        ASSERT_TRUE(Look(*staged.cache, parts, &rows, device).ok());
        device->Drain();
        ASSERT_TRUE(SameBits(rows, expected)) << optimizer << " " << step;

        Floats gradients(all.size() * kDimension);
        for (float& gradient : gradients) gradient = normal(random);
        ASSERT_TRUE(Wait([&](EmbeddingCache::Done done) {
                      plain.cache->Update(all, gradients.data(), 0.3f, 0.25f,
                                          std::move(done));
                    }).ok());
        auto merge = GradientMerge::Start(*staged.cache, all, gradients.data(),
                                          device.get());
        ASSERT_TRUE(merge.ok()) << merge.status().ToString();
        device->Drain();
        ASSERT_TRUE(Wait([&](EmbeddingCache::Done done) {
                      staged.cache->Update((*merge)->ids(),
                                           (*merge)->gradients(), 0.3f, 0.25f,
                                           std::move(done));
                    }).ok());
      }
      const CacheStats a = plain.cache->stats(), b = staged.cache->stats();
      EXPECT_EQ(a.ids, b.ids);
      EXPECT_EQ(a.hits, b.hits);
      EXPECT_EQ(a.misses, b.misses);
      EXPECT_EQ(a.invalid, b.invalid);
      EXPECT_EQ(a.pushed_rows, b.pushed_rows);
      EXPECT_EQ(a.updated_rows, b.updated_rows);
      EXPECT_EQ(device->blocks, 0);
    }
  }
}

TEST(StagedCalls, ALookupIsOneCopyOfDistinctRowsAndAnUpdateOneEachWay) {
  Worker worker("sgd", Options());
  const auto device = std::make_shared<HostRowDevice>();
  Floats rows;
  ASSERT_TRUE(Look(*worker.cache, {{4, 4, 9}, {9, 4}}, &rows, device).ok());
  EXPECT_EQ(worker.cache->stats().unique_ids, 2);
  EXPECT_EQ(device->copies_to_device, 1);
  EXPECT_EQ(device->copies_to_host, 0);
  device->Drain();
  const Ids ids = {4, 4, 9, 9, 4};
  const auto merge =
      GradientMerge::Start(*worker.cache, ids, rows.data(), device.get());
  ASSERT_TRUE(merge.ok());
  EXPECT_EQ(device->copies_to_device, 2);
  EXPECT_EQ(device->copies_to_host, 1);
  device->Drain();
}

TEST(StagedCalls, ALookupTakesOverWhatWasAskedForAhead) {
  Worker plain("sgd", Options()), staged("sgd", Options());
  const Ids ids = {4, 4, 9, 4};
  const std::vector<Span<const RowId>> ahead = {ids};
  for (Worker* worker : {&plain, &staged}) {
    ASSERT_TRUE(Wait([&](EmbeddingCache::Done done) {
                  worker->cache->Prefetch(ahead, 1, std::move(done));
                }).ok());
  }
  const auto device = std::make_shared<HostRowDevice>();
  Floats expected, rows;
  ASSERT_TRUE(Look(*plain.cache, {{4, 4}, {9, 4}}, &expected).ok());
  ASSERT_TRUE(Look(*staged.cache, {{4, 4}, {9, 4}}, &rows, device).ok());
  device->Drain();
  EXPECT_TRUE(SameBits(rows, expected));
  EXPECT_EQ(staged.cache->stats().prefetched, 1);
}

TEST(StagedCalls, WithoutMemoryWhatWasAskedForAheadEndsAsOthersDo) {
  Worker worker("sgd", Options(3, 1));
  const Ids ids = {4, 9, 5};
  const std::vector<Span<const RowId>> ahead = {ids};
  ASSERT_TRUE(Wait([&](EmbeddingCache::Done done) {
                worker.cache->Prefetch(ahead, 1, std::move(done));
              }).ok());
  const auto device = std::make_shared<HostRowDevice>();
  device->fail_after = 0;
  Floats rows;
  EXPECT_EQ(Look(*worker.cache, {ids}, &rows, device).code(),
            StatusCode::kResourceExhausted);
  // Nothing stays in use beyond the next commit.
  ASSERT_TRUE(Look(*worker.cache, {{7}}, &rows).ok());
  const Ids other = {7};
  const Floats gradients(kDimension, 1.0f);
  ASSERT_TRUE(Wait([&](EmbeddingCache::Done done) {
                worker.cache->Update(other, gradients.data(), 1, 1,
                                     std::move(done));
              }).ok());
  EXPECT_EQ(worker.cache->stats().rows, 1);
}

TEST(StagedCalls, MemoryLivesUntilTheDeviceIsDone) {
  Worker worker("sgd", Options());
  const auto device = std::make_shared<HostRowDevice>();
  Floats expected, rows;
  ASSERT_TRUE(Look(*worker.cache, {{1, 2, 1}}, &expected).ok());
  ASSERT_TRUE(Look(*worker.cache, {{1, 2, 1}}, &rows, device).ok());
  EXPECT_FALSE(device->idle());
  EXPECT_TRUE(std::isnan(rows[0])) << "the device has not run yet";
  EXPECT_EQ(device->blocks, 2);
  device->Drain();
  EXPECT_TRUE(SameBits(rows, expected));
  EXPECT_EQ(device->blocks, 0);

  const Ids ids = {1, 2, 1};
  auto merge =
      GradientMerge::Start(*worker.cache, ids, rows.data(), device.get());
  ASSERT_TRUE(merge.ok());
  *merge = nullptr;  // the caller has lost interest
  EXPECT_EQ(device->blocks, 2);
  device->Drain();
  EXPECT_EQ(device->blocks, 0);
}

TEST(StagedCalls, EmptyBatchesPutNothingIntoMemory) {
  Worker worker("sgd", Options());
  const auto device = std::make_shared<HostRowDevice>();
  Floats rows;
  EXPECT_TRUE(Look(*worker.cache, {{}, {}}, &rows, device).ok());
  const auto merge =
      GradientMerge::Start(*worker.cache, Ids(), nullptr, device.get());
  ASSERT_TRUE(merge.ok());
  EXPECT_TRUE((*merge)->ids().empty());
  EXPECT_EQ(device->copies_to_device + device->copies_to_host, 0);
  device->Drain();
}

TEST(StagedCalls, AnIdOutsideIsNamedWithItsPositionInTheBatch) {
  CacheOptions options = Options();
  options.vocabulary_size = 10;
  Worker worker("sgd", options);
  const auto device = std::make_shared<HostRowDevice>();
  Floats rows;
  const Status looked =
      Look(*worker.cache, {{1}, {3, 3, 3, 10}}, &rows, device);
  EXPECT_EQ(looked.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(looked.message().find("id 10 at position 3"), std::string::npos)
      << looked.message();
  const Ids ids = {3, 3, 3, 10};
  const Status merged =
      GradientMerge::Start(*worker.cache, ids, nullptr, device.get()).status();
  EXPECT_EQ(merged.message(), looked.message());
  EXPECT_TRUE(device->idle());
}

TEST(StagedCalls, EveryErrorOfTheDeviceReachesTheCaller) {
  Worker worker("sgd", Options());
  Floats rows;
  int failures = 0;
  for (int works = 0;; ++works) {
    const auto device = std::make_shared<HostRowDevice>();
    device->fail_after = works;
    const Status status = Look(*worker.cache, {{1, 2}, {2}}, &rows, device);
    EXPECT_EQ(status.ok(), device->failures == 0);
    device->Drain();
    // What the device may still use stays for ever when it cannot say so.
    const bool unknown = status.message() == "no then";
    EXPECT_EQ(device->blocks, unknown ? 2 : 0) << status.ToString();
    if (status.ok()) break;
    ++failures;
  }
  // Two allocations, a copy, a kernel for each part, the end.
  EXPECT_EQ(failures, 6);
  failures = 0;
  const Ids ids = {1, 2, 2};
  for (int works = 0;; ++works) {
    const auto device = std::make_shared<HostRowDevice>();
    device->fail_after = works;
    const Status status =
        GradientMerge::Start(*worker.cache, ids, rows.data(), device.get())
            .status();
    EXPECT_EQ(status.ok(), device->failures == 0);
    device->Drain();
    // What the device may still use stays for ever when it cannot say so.
    const bool unknown = status.message() == "no then";
    EXPECT_EQ(device->blocks, unknown ? 2 : 0) << status.ToString();
    if (status.ok()) break;
    ++failures;
  }
  // Two allocations, two copies, a kernel, the end.
  EXPECT_EQ(failures, 6);
}

TEST(StagedCalls, AnErrorOfTheCacheReachesTheCallerWithoutUsingTheDevice) {
  Worker worker("sgd", Options());
  Floats rows;
  ASSERT_TRUE(Look(*worker.cache, {{1}}, &rows).ok());
  worker.deployment.RestartShard(0);
  const auto device = std::make_shared<HostRowDevice>();
  EXPECT_FALSE(Look(*worker.cache, {{2}}, &rows, device).ok());
  EXPECT_TRUE(device->idle());
  EXPECT_EQ(device->blocks, 0);
}

}  // namespace
}  // namespace het
