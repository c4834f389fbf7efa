// FaultInjectionStore: a store behind a bad network. By a seed it answers an
// exchange with UNAVAILABLE before it has reached the wrapped store, loses the
// answer after it has been applied, and delays it, so that it is overtaken.
//
// A delayed exchange is delivered by the timer; its request is copied first, so
// a late one may arrive after its caller has given up.
//
// Ownership: shares the wrapped store and the timer; calls in flight keep what
// they need alive. Thread-safety: as EmbeddingStore says. Lock order: mutex is
// a leaf, not held while the wrapped store is called.

#ifndef HET_TF_KERNELS_TESTING_FAULT_INJECTION_STORE_H_
#define HET_TF_KERNELS_TESTING_FAULT_INJECTION_STORE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/store/embedding_store.h"
#include "kernels/store/timer.h"

namespace het {

struct FaultOptions {
  std::uint64_t seed = 1;
  // Of 1000 exchanges, each kind drawn on its own.
  int lost_before = 0;   // UNAVAILABLE, nothing applied
  int lost_after = 0;    // UNAVAILABLE, applied
  int timed_out = 0;     // DEADLINE_EXCEEDED at once, delivered later
  int delayed = 0;
  std::chrono::microseconds longest_delay{500};
};

struct FaultCounts {
  std::int64_t lost_before = 0;
  std::int64_t lost_after = 0;
  std::int64_t timed_out = 0;
  std::int64_t delayed = 0;
};

class FaultInjectionStore final : public EmbeddingStore {
 public:
  FaultInjectionStore(std::shared_ptr<EmbeddingStore> store,
                      const FaultOptions& options,
                      std::shared_ptr<Timer> timer);

  FaultCounts counts() const;

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override;
  // Fails before or after with the same odds as an exchange.
  Status CreateTable(const TableSpec& spec) override;
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override;
  Result<std::vector<ShardStats>> Stats() override;
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override;
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override;
  Traffic traffic() const override;

 private:
  struct Core;
  const std::shared_ptr<Core> core_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_FAULT_INJECTION_STORE_H_
