// Synchronous tables: workers at staleness 0 train like one worker with all of
// their batches, with every optimizer, over a network that loses messages.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <random>

#include "kernels/cache/embedding_cache.h"
#include "kernels/testing/local_deployment.h"

namespace het {
namespace {

constexpr std::size_t kDimension = 4;
constexpr RowId kVocabulary = 30;
constexpr int kSteps = 100;

using Floats = std::vector<float>;
using Ids = std::vector<RowId>;

// The caches of one job's workers, and what is theirs.
class Job {
 public:
  Job(std::size_t workers, std::size_t shards, const TableSpec& spec,
      const CacheOptions& options) {
    LocalDeployment::Options with;
    with.shards = shards;
    with.faults.lost_before = 50;
    with.faults.lost_after = 50;
    // A round's pushes come in several pieces.
    with.piece_bytes = 2 * kDimension * sizeof(float);
    deployment_ = std::make_unique<LocalDeployment>(with);
    for (std::size_t w = 0; w < workers; ++w) {
      auto cache =
          EmbeddingCache::Create(spec, options, deployment_->NewWorker());
      EXPECT_TRUE(cache.ok()) << cache.status().ToString();
      workers_.push_back(*cache);
    }
  }

  EmbeddingCache& worker(std::size_t w) { return *workers_[w]; }
  LocalDeployment& deployment() { return *deployment_; }

  Floats Lookup(std::size_t w, const Ids& ids,
                ReadMode mode = ReadMode::kTraining) {
    Floats rows(ids.size() * kDimension);
    Wait([&](EmbeddingCache::Done done) {
      workers_[w]->Lookup(ids, mode, rows.data(), std::move(done));
    });
    return rows;
  }
  void Update(std::size_t w, const Ids& ids, const Floats& gradients,
              float learning_rate, float scale) {
    Wait([&](EmbeddingCache::Done done) {
      workers_[w]->Update(ids, gradients.data(), learning_rate, scale,
                          std::move(done));
    });
  }

 private:
  template <typename Start>
  void Wait(const Start& start) {
    std::promise<Status> ended;
    start([&](Status status) { ended.set_value(std::move(status)); });
    const Status status = ended.get_future().get();
    EXPECT_TRUE(status.ok()) << status.ToString();
  }

  std::unique_ptr<LocalDeployment> deployment_;
  std::vector<std::shared_ptr<EmbeddingCache>> workers_;
};

Ids DrawIds(std::mt19937_64& random) {
  Ids ids(1 + random() % 8);
  for (RowId& id : ids) {
    const double u = static_cast<double>(random() % 1000) / 1000;
    id = static_cast<RowId>(u * u * kVocabulary) - 7;  // skewed, some negative
  }
  return ids;
}

// Depends on what was read, so that differences grow.
Floats Gradients(std::mt19937_64& random, const Floats& rows) {
  Floats gradients(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    gradients[i] =
        rows[i] + static_cast<float>(static_cast<int>(random() % 2001) - 1000) *
                      1e-3f;
  }
  return gradients;
}

Ids AllIds() {
  Ids ids;
  for (RowId id = -7; id < kVocabulary; ++id) ids.push_back(id);
  return ids;
}

TableSpec Spec(const ComponentSpec& optimizer) {
  TableSpec spec;
  spec.name = "t";
  spec.dimension = kDimension;
  spec.seed = 11;
  spec.optimizer = optimizer;
  spec.synchronous = true;
  return spec;
}

// How far the rows of `workers` are from those of one worker with all batches,
// at any read: the smallest r with |a - b| <= r |b| + r / 10.
double Difference(std::size_t workers, const TableSpec& spec,
                  const CacheOptions& options, std::uint64_t seed) {
  Job many(workers, 2, spec, options);
  Job alone(1, 2, spec, options);
  std::mt19937_64 random(seed);
  double worst = 0;
  const auto compare = [&](const Floats& a, const Floats& b, std::size_t from) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double expected = b[from + i];
      worst = std::max(
          worst, std::abs(a[i] - expected) / (std::abs(expected) + 0.1));
    }
  };
  for (int step = 0; step < kSteps; ++step) {
    std::vector<Ids> ids;
    std::vector<Floats> read, gradients;
    Ids all;
    Floats all_gradients;
    for (std::size_t w = 0; w < workers; ++w) {
      ids.push_back(DrawIds(random));
      read.push_back(many.Lookup(w, ids[w]));
      gradients.push_back(Gradients(random, read[w]));
      all.insert(all.end(), ids[w].begin(), ids[w].end());
      all_gradients.insert(all_gradients.end(), gradients[w].begin(),
                           gradients[w].end());
    }
    const Floats together = alone.Lookup(0, all);
    std::size_t from = 0;
    for (const Floats& rows : read) {
      compare(rows, together, from);
      from += rows.size();
    }
    const float rate = 0.05f / static_cast<float>(1 + step % 3);
    const float scale = 1.0f / static_cast<float>(workers);
    std::vector<std::size_t> order(workers);
    for (std::size_t w = 0; w < workers; ++w) order[w] = w;
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t w : order) {
      many.Update(w, ids[w], gradients[w], rate, scale);
    }
    alone.Update(0, all, all_gradients, rate, scale);
  }
  compare(many.Lookup(0, AllIds(), ReadMode::kFresh),
          alone.Lookup(0, AllIds(), ReadMode::kFresh), 0);
  EXPECT_GT(many.deployment().faults().lost_after, 0);
  return worst;
}

const std::vector<ComponentSpec>& Optimizers() {
  static const std::vector<ComponentSpec> all = {
      {"sgd", {}},
      {"momentum", {{"momentum", 0.9}}},
      {"momentum", {{"momentum", 0.9}, {"nesterov", 1}}},
      {"adagrad", {}},
      {"rowwise_adagrad", {}},
      {"lazy_adam", {}},
      {"ftrl", {{"l1_regularization_strength", 0.01}}},
      {"sgd", {{"weight_decay", 0.1}, {"row_clipnorm", 0.3}}},
      {"lazy_adam", {{"weight_decay", 0.1}}},
      {"adagrad", {{"weight_decay", 0.1}, {"row_clipnorm", 0.3}}},
  };
  return all;
}

TEST(Synchronous, WorkersTrainLikeOneWithAllBatchesWithEveryOptimizer) {
  for (const ComponentSpec& optimizer : Optimizers()) {
    for (const std::int64_t capacity : {0, 1000}) {
      CacheOptions options;
      options.capacity = capacity;
      SCOPED_TRACE(ToString(optimizer) + " capacity " +
                   std::to_string(capacity));
      EXPECT_LT(Difference(2, Spec(optimizer), options, 5), 1e-5);
      EXPECT_LT(Difference(3, Spec(optimizer), options, 6), 1e-5);
    }
  }
}

// The comparison above could not fail if a step per push came to the same.
TEST(Synchronous, WithoutItOtherOptimizersThanSgdTakeStepsOfTheirOwn) {
  for (const ComponentSpec& optimizer : Optimizers()) {
    TableSpec spec = Spec(optimizer);
    spec.synchronous = false;
    const double difference = Difference(2, spec, {}, 5);
    SCOPED_TRACE(ToString(optimizer));
    if (optimizer == ComponentSpec{"sgd", {}}) {
      EXPECT_LT(difference, 1e-5);
    } else {
      EXPECT_GT(difference, 1e-3);
    }
  }
}

TEST(Synchronous, ReadersThatDoNotTrainDisturbNoRoundAndSeeAllOfTheLast) {
  const TableSpec spec = Spec({"adagrad", {}});
  Job job(2, 1, spec, {});
  auto made = EmbeddingCache::Create(spec, {}, job.deployment().NewWorker());
  ASSERT_TRUE(made.ok());
  EmbeddingCache& reader = **made;
  const auto read = [&] {
    Floats row(kDimension);
    std::promise<Status> done;
    reader.Lookup(Ids{1}, ReadMode::kFresh, row.data(),
                  [&](Status status) { done.set_value(std::move(status)); });
    EXPECT_TRUE(done.get_future().get().ok());
    return row;
  };
  for (int step = 0; step < 3; ++step) {
    job.Lookup(0, {1});
    job.Lookup(1, {1});
    const Floats before = read();
    job.Update(0, {1}, Floats(kDimension, 1), 0.1f, 0.5f);
    const Floats half = read();
    job.Update(1, {1}, Floats(kDimension, 3), 0.1f, 0.5f);
    const Floats whole = read();
    EXPECT_NE(half, before);
    EXPECT_NE(whole, half);
    // What the reader saw last is what the next round reads.
    EXPECT_EQ(job.Lookup(0, {1}, ReadMode::kFresh), whole);
  }
}

TEST(Synchronous, AWorkerThatIsNotInStepIsTold) {
  Job job(2, 1, Spec({"adagrad", {}}), {});
  for (int step = 0; step < 2; ++step) {
    job.Lookup(0, {1});
    job.Update(0, {1}, Floats(kDimension, 1), 0.1f, 0.5f);
  }
  job.Lookup(1, {1});
  std::promise<Status> ended;
  const Floats gradients(kDimension, 1);
  job.worker(1).Update(Ids{1}, gradients.data(), 0.1f, 0.5f, [&](Status status) {
    ended.set_value(std::move(status));
  });
  const Status status = ended.get_future().get();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("'t' is synchronous and has seen round 2"),
            std::string::npos)
      << status.ToString();
}

TEST(Synchronous, StalenessIsRefused) {
  LocalDeployment deployment({});
  CacheOptions options;
  options.capacity = 10;
  options.staleness = 1;
  const auto cache = EmbeddingCache::Create(Spec({"sgd", {}}), options,
                                            deployment.NewWorker());
  EXPECT_EQ(cache.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(cache.status().message().find("staleness is 1, expected 0"),
            std::string::npos)
      << cache.status().ToString();
}

}  // namespace
}  // namespace het
