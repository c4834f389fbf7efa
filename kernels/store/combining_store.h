// CombiningStore: makes one exchange of many. While a Hold is alive, exchanges
// that are started are kept back; at its end they go out together, those of
// different tables as one. So an operation on many tables costs one exchange per
// shard (of which ShardedStore makes pieces when it is large), and neither the
// caches nor the shards know of it. Holds that overlap end together, with the
// last of them, so that none takes another's exchanges apart; but of many that
// follow on each other without a gap, what is kept back waits for kMaxEnds ends
// at most.
//
// Exchanges leave in the order in which they were started, one thread at a time
// sending them. Of one table an exchange has at most one part, so a second one
// of the same table begins the next exchange; and a combined one ends before it
// would carry more than `max_bytes` of rows and gradients. The parts of a
// combined exchange fail together: a rule that one of them breaks refuses all.
//
// Ownership: shares the wrapped store; what is on its way keeps what it needs
// alive. A Hold must not outlive the store, and its owner does not wait for an
// exchange while it lives. Thread-safety: as EmbeddingStore says; Holds may
// overlap. Lock order: mutex_ is a leaf, not held while the wrapped store is
// called.

#ifndef HET_TF_KERNELS_STORE_COMBINING_STORE_H_
#define HET_TF_KERNELS_STORE_COMBINING_STORE_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/store/embedding_store.h"

namespace het {

class CombiningStore final : public EmbeddingStore {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  static constexpr int kMaxEnds = 16;

  explicit CombiningStore(std::shared_ptr<EmbeddingStore> store,
                          std::size_t max_bytes = kMaxBytes);

  class Hold {
   public:
    explicit Hold(CombiningStore* store);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    CombiningStore* const store_;
  };

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override;
  Status CreateTable(const TableSpec& spec) override;
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override;
  Result<std::vector<ShardStats>> Stats() override;
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override;
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override;
  bool sole_writer() const override { return store_->sole_writer(); }
  Traffic traffic() const override;

 private:
  // One caller's exchange. Its request lives until `done` is called.
  struct Part {
    const ExchangeRequest* request;
    ExchangeDone done;
  };

  // Sends what is kept back, unless another thread is at it.
  void Drain() HET_EXCLUDES(mutex_);
  // The longest beginning of the queue that may go as one.
  std::vector<Part> TakeParts() HET_REQUIRES(mutex_);
  std::size_t BytesOf(const ExchangeRequest& request) const
      HET_REQUIRES(mutex_);
  void Send(std::vector<Part> parts) HET_EXCLUDES(mutex_);

  const std::shared_ptr<EmbeddingStore> store_;
  const std::size_t max_bytes_;
  mutable Mutex mutex_;
  std::unordered_map<TableId, std::size_t> dimensions_ HET_GUARDED_BY(mutex_);
  std::deque<Part> queue_ HET_GUARDED_BY(mutex_);
  int holds_ HET_GUARDED_BY(mutex_) = 0;
  // Holds that have ended since the queue was last empty.
  int ends_ HET_GUARDED_BY(mutex_) = 0;
  bool sending_ HET_GUARDED_BY(mutex_) = false;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_COMBINING_STORE_H_
