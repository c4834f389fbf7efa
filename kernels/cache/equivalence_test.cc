// Invariants 5 and 7 of docs/consistency.md, bit for bit: staleness 0 with a
// cache trains like no cache, workers at staleness 0 like one worker with the
// whole batch, and the number of shards changes nothing.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <future>
#include <random>

#include "kernels/cache/embedding_cache.h"
#include "kernels/testing/local_deployment.h"

namespace het {
namespace {

constexpr std::size_t kDimension = 4;
constexpr RowId kVocabulary = 40;

TableSpec Spec(const std::string& optimizer) {
  TableSpec spec;
  spec.name = "t";
  spec.dimension = kDimension;
  spec.seed = 11;
  spec.optimizer = {optimizer, {}};
  return spec;
}

std::shared_ptr<EmbeddingCache> Open(StoreDeployment& deployment,
                                     const TableSpec& spec,
                                     const CacheOptions& options) {
  auto cache = EmbeddingCache::Create(spec, options, deployment.NewWorker());
  EXPECT_TRUE(cache.ok()) << cache.status().ToString();
  return *cache;
}

std::unique_ptr<StoreDeployment> Deploy(std::size_t shards) {
  LocalDeployment::Options options;
  options.shards = shards;
  // With some, exchanges go in pieces of a row or two.
  if (shards > 2) options.piece_bytes = kDimension * sizeof(float);
  return std::make_unique<LocalDeployment>(options);
}

using Floats = std::vector<float>;

Floats Lookup(EmbeddingCache& cache, const std::vector<RowId>& ids,
              ReadMode mode = ReadMode::kTraining) {
  Floats rows(ids.size() * kDimension);
  std::promise<Status> done;
  cache.Lookup(ids, mode, rows.data(),
               [&](Status status) { done.set_value(std::move(status)); });
  const Status status = done.get_future().get();
  EXPECT_TRUE(status.ok()) << status.ToString();
  return rows;
}

void Update(EmbeddingCache& cache, const std::vector<RowId>& ids,
            const Floats& gradients, float learning_rate, float scale = 1) {
  std::promise<Status> done;
  cache.Update(ids, gradients.data(), learning_rate, scale,
               [&](Status status) { done.set_value(std::move(status)); });
  const Status status = done.get_future().get();
  EXPECT_TRUE(status.ok()) << status.ToString();
}

std::vector<RowId> DrawIds(std::mt19937_64& random, std::size_t count) {
  std::vector<RowId> ids(count);
  for (RowId& id : ids) {
    const double u = static_cast<double>(random() % 1000) / 1000;
    id = static_cast<RowId>(u * u * kVocabulary) - 7;  // skewed, some negative
  }
  return ids;
}

// A gradient that depends on what was read, so that differences grow.
Floats Gradients(std::mt19937_64& random, const Floats& rows) {
  Floats gradients(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    gradients[i] = rows[i] * 3.1f +
                   static_cast<float>(static_cast<int>(random() % 2001) - 1000) *
                       1.7e-3f;
  }
  return gradients;
}

std::vector<RowId> AllIds() {
  std::vector<RowId> ids;
  for (RowId id = -7; id < kVocabulary; ++id) ids.push_back(id);
  return ids;
}

struct Trained {
  std::vector<Floats> read;  // per step
  Floats rows;               // at the end, past the cache
};

Trained Train(std::size_t shards, const std::string& optimizer,
              const CacheOptions& options, std::uint64_t seed) {
  const auto deployment = Deploy(shards);
  const auto cache = Open(*deployment, Spec(optimizer), options);
  std::mt19937_64 random(seed);
  Trained trained;
  for (int step = 0; step < 200; ++step) {
    const std::vector<RowId> ids = DrawIds(random, 1 + random() % 12);
    trained.read.push_back(Lookup(*cache, ids));
    // Learning rates follow a schedule.
    Update(*cache, ids, Gradients(random, trained.read.back()),
           0.1f / static_cast<float>(1 + step % 7));
  }
  std::promise<Status> flushed;
  cache->Flush([&](Status status) { flushed.set_value(std::move(status)); });
  EXPECT_TRUE(flushed.get_future().get().ok());
  trained.rows = Lookup(*cache, AllIds(), ReadMode::kFresh);
  return trained;
}

bool SameBits(const Floats& a, const Floats& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void ExpectSameBits(const Trained& a, const Trained& b) {
  ASSERT_EQ(a.read.size(), b.read.size());
  for (std::size_t step = 0; step < a.read.size(); ++step) {
    ASSERT_TRUE(SameBits(a.read[step], b.read[step])) << "step " << step;
  }
  EXPECT_TRUE(SameBits(a.rows, b.rows));
}

TEST(Equivalence, Invariant5StalenessZeroEqualsNoCacheBitForBit) {
  for (const char* optimizer : {"sgd", "adagrad"}) {
    for (const char* policy : {"lru", "lfu", "light_lfu"}) {
      for (const std::int64_t capacity : {1, 5, 1000}) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
          SCOPED_TRACE(internal::StreamToString(optimizer, " ", policy,
                                                " capacity=", capacity,
                                                " seed=", seed));
          CacheOptions with, without;
          with.capacity = capacity;
          with.policy = policy;
          ExpectSameBits(Train(2, optimizer, with, seed),
                         Train(2, optimizer, without, seed));
        }
      }
    }
  }
}

// The comparison above could not fail if the cache never answered by itself.
TEST(Equivalence, StalenessZeroHitsRowsThatNobodyWrote) {
  const auto deployment = Deploy(1);
  CacheOptions options;
  options.capacity = 10;
  const auto cache = Open(*deployment, Spec("sgd"), options);
  const Floats first = Lookup(*cache, {1, 2}, ReadMode::kInference);
  EXPECT_TRUE(SameBits(Lookup(*cache, {1, 2}, ReadMode::kInference), first));
  EXPECT_EQ(cache->stats().hits, 2);
  EXPECT_EQ(cache->stats().misses, 2);
}

TEST(Equivalence, Invariant7TheNumberOfShardsChangesNoBits) {
  for (const char* optimizer : {"sgd", "adagrad"}) {
    for (const Staleness s : {Staleness{0}, Staleness{3}, Staleness{100},
                              kUnboundedStaleness}) {
      for (const std::int64_t capacity : {0, 5, 1000}) {
        CacheOptions options;
        options.staleness = s;
        options.capacity = capacity;
        const Trained one = Train(1, optimizer, options, 5);
        for (const std::size_t shards : {2, 3, 7}) {
          SCOPED_TRACE(internal::StreamToString(optimizer, " s=", s,
                                                " capacity=", capacity,
                                                " shards=", shards));
          ExpectSameBits(one, Train(shards, optimizer, options, 5));
        }
      }
    }
  }
}

// Two workers at s = 0 whose gradients are averaged, against one worker with
// both batches; a gradient is -1 times what was read plus a number of the id.
TEST(Equivalence, Invariant5WorkersAtStalenessZeroTrainLikeOneWithAllBatches) {
  for (const std::int64_t capacity : {0, 1000}) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      SCOPED_TRACE(internal::StreamToString("capacity=", capacity,
                                            " seed=", seed));
      CacheOptions options;
      options.capacity = capacity;
      const auto both = Deploy(2), alone = Deploy(2);
      const TableSpec spec = Spec("sgd");
      const std::vector<std::shared_ptr<EmbeddingCache>> workers = {
          Open(*both, spec, options), Open(*both, spec, options)};
      const auto single = Open(*alone, spec, options);
      std::mt19937_64 random(seed);
      const auto gradients = [](const Floats& rows) {
        Floats gradients(rows.size());
        for (std::size_t i = 0; i < rows.size(); ++i) {
          gradients[i] = rows[i] - 0.01f * static_cast<float>(i % 3);
        }
        return gradients;
      };
      for (int step = 0; step < 100; ++step) {
        std::vector<std::vector<RowId>> ids = {DrawIds(random, 6),
                                               DrawIds(random, 6)};
        std::vector<Floats> read;
        for (int w = 0; w < 2; ++w) {
          read.push_back(Lookup(*workers[static_cast<std::size_t>(w)],
                                ids[static_cast<std::size_t>(w)]));
        }
        std::vector<RowId> whole = ids[0];
        whole.insert(whole.end(), ids[1].begin(), ids[1].end());
        const Floats together = Lookup(*single, whole);
        Floats joined = gradients(read[0]);
        const Floats second = gradients(read[1]);
        joined.insert(joined.end(), second.begin(), second.end());
        for (std::size_t i = 0; i < together.size(); ++i) {
          const float reads = i < read[0].size()
                                  ? read[0][i]
                                  : read[1][i - read[0].size()];
          ASSERT_NEAR(reads, together[i], 1e-6) << "step " << step;
        }
        Update(*workers[0], ids[0], gradients(read[0]), 0.1f, 0.5f);
        Update(*workers[1], ids[1], second, 0.1f, 0.5f);
        Update(*single, whole, joined, 0.1f, 0.5f);
      }
      const Floats a = Lookup(*workers[0], AllIds(), ReadMode::kFresh);
      const Floats b = Lookup(*single, AllIds(), ReadMode::kFresh);
      for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-6);
    }
  }
}

}  // namespace
}  // namespace het
