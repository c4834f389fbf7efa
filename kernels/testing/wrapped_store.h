// WrappedStore: a store that passes every call on; what a test wants to watch
// or to disturb it overrides.
//
// Ownership: shares the wrapped store. Thread-safety: as EmbeddingStore says.

#ifndef HET_TF_KERNELS_TESTING_WRAPPED_STORE_H_
#define HET_TF_KERNELS_TESTING_WRAPPED_STORE_H_

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/store/embedding_store.h"

namespace het {

class WrappedStore : public EmbeddingStore {
 public:
  explicit WrappedStore(std::shared_ptr<EmbeddingStore> store)
      : store_(std::move(store)) {}

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    store_->Exchange(request, std::move(done));
  }
  Status CreateTable(const TableSpec& spec) override {
    return store_->CreateTable(spec);
  }
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override {
    return store_->Assign(table, staleness, ids, rows);
  }
  Result<std::vector<ShardStats>> Stats() override { return store_->Stats(); }
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override {
    return store_->Snapshot(request);
  }
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override {
    return store_->Restore(request);
  }
  Traffic traffic() const override { return store_->traffic(); }

 protected:
  EmbeddingStore& store() { return *store_; }
  const std::shared_ptr<EmbeddingStore>& shared_store() { return store_; }

 private:
  const std::shared_ptr<EmbeddingStore> store_;
};

// Gives every exchange its header, as RetryingStore does, and nothing more:
// for running a shard alone.
class NumberingStore final : public WrappedStore {
 public:
  NumberingStore(std::shared_ptr<EmbeddingStore> store, Incarnation worker,
                 Incarnation shard)
      : WrappedStore(std::move(store)), worker_(worker), shard_(shard) {}

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    auto numbered = std::make_shared<ExchangeRequest>(request);
    numbered->header = {worker_, shard_, ++last_};
    store().Exchange(*numbered, [numbered, done = std::move(done)](
                                    Status status, ExchangeReply reply) {
      done(std::move(status), std::move(reply));
    });
  }

 private:
  const Incarnation worker_;
  const Incarnation shard_;
  std::atomic<std::uint64_t> last_{0};
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_WRAPPED_STORE_H_
