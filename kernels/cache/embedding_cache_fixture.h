// What the tests of EmbeddingCache share: a cache over one shard in this process,
// and a spy between the two.
//
// Ownership: the fixture owns all. For one thread, unless a test says otherwise.

#ifndef HET_TF_KERNELS_CACHE_EMBEDDING_CACHE_FIXTURE_H_
#define HET_TF_KERNELS_CACHE_EMBEDDING_CACHE_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cache/embedding_cache.h"
#include "kernels/testing/initial_row.h"
#include "kernels/testing/local_deployment.h"
#include "kernels/testing/wrapped_store.h"

namespace het {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Remembers what passes; fails when told to.
class SpyStore final : public WrappedStore {
 public:
  using WrappedStore::WrappedStore;

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    ++exchanges;
    const TableExchange& table = request.tables[0];
    pushed.assign(table.push_ids.begin(), table.push_ids.end());
    validated.assign(table.validate_ids.begin(), table.validate_ids.end());
    fetched.assign(table.fetch_ids.begin(), table.fetch_ids.end());
    most_pushed = std::max(most_pushed, pushed.size());
    most_asked = std::max(most_asked, fetched.size() + validated.size());
    if (!failure.ok()) {
      done(failure, {});
      return;
    }
    store().Exchange(request, [this, keep = hold, done = std::move(done)](
                                  Status status, ExchangeReply reply) {
      if (!keep) {
        done(std::move(status), std::move(reply));
        return;
      }
      held.push_back([done, status, reply = std::move(reply)] {
        done(status, reply);
      });
    });
  }
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override {
    if (before_assign) before_assign();
    return WrappedStore::Assign(table, staleness, ids, rows);
  }
  // Answers what was held back, and what that brings about, until nothing is.
  void Release() {
    while (!held.empty()) {
      const std::function<void()> answer = std::move(held.front());
      held.pop_front();
      answer();
    }
  }

  int exchanges = 0;
  std::vector<RowId> pushed, validated, fetched;  // of the last exchange
  std::size_t most_pushed = 0, most_asked = 0;    // rows in one exchange
  bool hold = false;  // answers are held back until Release
  std::deque<std::function<void()>> held;
  std::function<void()> before_assign;
  Status failure;
};

using Ids = std::vector<RowId>;

class EmbeddingCacheTest : public testing::Test {
 protected:
  EmbeddingCacheTest() {
    spec_.name = "t";
    spec_.dimension = 1;
    spec_.initializer = {"constant", {{"value", 10}}};
    options_.capacity = 100;
    options_.staleness = 2;
  }

  void Open() {
    LocalDeployment::Options one;
    deployment_ = std::make_unique<LocalDeployment>(one);
    spy_ = std::make_shared<SpyStore>(deployment_->NewWorker());
    auto cache = EmbeddingCache::Create(spec_, options_, spy_);
    ASSERT_TRUE(cache.ok()) << cache.status().ToString();
    cache_ = *cache;
  }

  Status TryLookup(const Ids& ids, std::vector<float>* rows,
                   ReadMode mode = ReadMode::kTraining) {
    rows->assign(ids.size() * spec_.dimension, 0);
    std::promise<Status> done;
    cache_->Lookup(ids, mode, rows->data(),
                   [&](Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }
  std::vector<float> Lookup(const Ids& ids,
                            ReadMode mode = ReadMode::kTraining) {
    std::vector<float> rows;
    const Status status = TryLookup(ids, &rows, mode);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return rows;
  }
  Status Update(const Ids& ids, const std::vector<float>& gradients,
                float learning_rate = 1, float scale = 1) {
    std::promise<Status> done;
    cache_->Update(ids, gradients.data(), learning_rate, scale,
                   [&](Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }
  Status Flush() {
    std::promise<Status> done;
    cache_->Flush([&](Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }
  // As another worker reads it.
  float Stored(RowId id) {
    const auto worker = deployment_->NewWorker();
    EXPECT_TRUE(worker->CreateTable(spec_).ok());
    OwnedRequest request;
    request.Add(spec_.id()).Fetch(id);
    const auto reply = ExchangeAndWait(*worker, request.request());
    return reply.ok()
               ? ValuesOf(reply->tables[0].fetched[0], spec_, id).front()
               : kNan;
  }

  TableSpec spec_;
  CacheOptions options_;
  std::unique_ptr<LocalDeployment> deployment_;
  std::shared_ptr<SpyStore> spy_;
  std::shared_ptr<EmbeddingCache> cache_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_EMBEDDING_CACHE_FIXTURE_H_
