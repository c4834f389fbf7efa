// LocalDeployment: shards in this process, each behind what a real one has
// before it, for tests.
//
//   shards == 1, no retrier:  NumberingStore -> Shard
//   otherwise:  CombiningStore -> ShardedStore -> RetryingStore
//               [-> FaultInjectionStore] -> Shard
//
// Ownership: owns the shards; the stores it hands out share them.
// Thread-safety: NewWorker and RestartShard are for the test's own thread.

#ifndef HET_TF_KERNELS_TESTING_LOCAL_DEPLOYMENT_H_
#define HET_TF_KERNELS_TESTING_LOCAL_DEPLOYMENT_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/shard/shard.h"
#include "kernels/store/sharded_store.h"
#include "kernels/store/timer.h"
#include "kernels/testing/fault_injection_store.h"
#include "kernels/testing/store_contract.h"

namespace het {

// A shard that can be replaced by a new, empty one under way.
class RestartableShard final : public EmbeddingStore {
 public:
  RestartableShard() : shard_(std::make_shared<Shard>()) {}

  std::shared_ptr<Shard> shard() const {
    MutexLock lock(&mutex_);
    return shard_;
  }
  void Restart() {
    auto fresh = std::make_shared<Shard>();
    MutexLock lock(&mutex_);
    old_.push_back(shard_);
    shard_ = fresh;
  }

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    shard()->Exchange(request, std::move(done));
  }
  Status CreateTable(const TableSpec& spec) override {
    return shard()->CreateTable(spec);
  }
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override {
    return shard()->Assign(table, staleness, ids, rows);
  }
  Result<std::vector<ShardStats>> Stats() override { return shard()->Stats(); }
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override {
    return shard()->Snapshot(request);
  }
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override {
    return shard()->Restore(request);
  }
  Traffic traffic() const override { return {}; }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<Shard> shard_ HET_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Shard>> old_ HET_GUARDED_BY(mutex_);
};

class LocalDeployment final : public StoreDeployment {
 public:
  struct Options {
    std::size_t shards = 1;
    bool retrying = true;
    FaultOptions faults;  // none by default
    std::size_t piece_bytes = ShardedStore::kPieceBytes;
  };

  explicit LocalDeployment(const Options& options);

  std::shared_ptr<EmbeddingStore> NewWorker() override;
  std::size_t shards() const override { return shards_.size(); }
  void RestartShard(std::size_t shard) override { shards_[shard]->Restart(); }

  // Faults injected so far, over all workers and shards.
  FaultCounts faults() const;

 private:
  const Options options_;
  std::vector<std::shared_ptr<RestartableShard>> shards_;
  std::vector<std::shared_ptr<FaultInjectionStore>> faulty_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_LOCAL_DEPLOYMENT_H_
