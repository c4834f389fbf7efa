// ShardedStore: one store made of several shards. It splits an exchange by the
// router, asks all shards at once (each once, or piece by piece when it is a large
// exchange, without waiting for an answer; a shard with nothing to do is left
// alone) and puts the replies together position by position, moving row views and
// never copying a row.
//
// Every request is checked as a whole before the first piece is sent. When a
// shard fails all the same, the exchange fails at once: the other pieces may have
// been applied or not, and callers treat a failed exchange as the end of the
// store's use.
//
// Shards apply exchanges in the order in which they are started (RetryingStore,
// Shard): pieces are such exchanges. What others start at the same time may come
// between them.
//
// Ownership: shares the shards' stores. Thread-safety: as EmbeddingStore says.
// Lock order: mutex_ is a leaf.

#ifndef HET_TF_KERNELS_STORE_SHARDED_STORE_H_
#define HET_TF_KERNELS_STORE_SHARDED_STORE_H_

#include <memory>
#include <unordered_map>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/router.h"

namespace het {

class ShardedStore final : public EmbeddingStore {
 public:
  // Of rows and gradients in a piece. Smaller ones cost more calls than they save
  // waiting; with its ids it fits into a buffer of half a mebibyte (TakeBuffer).
  static constexpr std::size_t kPieceBytes = std::size_t{448} << 10;

  // In shard order, the same at every worker.
  // REQUIRES: 1 <= shards.size() <= kPartitions, piece_bytes > 0.
  explicit ShardedStore(std::vector<std::shared_ptr<EmbeddingStore>> shards,
                        std::size_t piece_bytes = kPieceBytes);

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override;
  Status CreateTable(const TableSpec& spec) override;
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override;
  Result<std::vector<ShardStats>> Stats() override;
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override;
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override;
  Traffic traffic() const override;

 private:
  Result<TableSpec> FindSpec(TableId table) const;
  template <typename Request, typename Ask>
  Result<CheckpointProgress> AskAll(const Request& request, const Ask& ask);

  const std::vector<std::shared_ptr<EmbeddingStore>> shards_;
  const Router router_;
  const std::size_t piece_bytes_;
  mutable Mutex mutex_;
  std::unordered_map<TableId, TableSpec> specs_ HET_GUARDED_BY(mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_SHARDED_STORE_H_
