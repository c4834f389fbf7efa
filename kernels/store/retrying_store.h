// RetryingStore: makes one shard look reliable. It gives every exchange its
// place in the worker's sequence, sends it again under the same number when it
// is not known to have been answered, with growing pauses, and ends at a
// deadline with an error that names shard, tables and call.
//
// After an exchange has failed for good its number may be missing at the shard,
// so nothing that follows could be applied: every later exchange fails at once
// with FAILED_PRECONDITION and the first failure's text, and one that is under way
// ends with its attempt. Only a request that the
// shard refused as wrong (INVALID_ARGUMENT, NOT_FOUND) has taken its number and
// lets the next ones pass.
//
// Retried are UNAVAILABLE (which is also how a full window answers),
// DEADLINE_EXCEEDED (of one attempt) and ABORTED; everything else is final:
// RESOURCE_EXHAUSTED is how gRPC says that a message is too large.
//
// Ownership: shares the wrapped store and the timer; calls in flight keep what
// they need alive. Thread-safety: as EmbeddingStore says. Lock order: mutex is
// a leaf, not held while the wrapped store is called.

#ifndef HET_TF_KERNELS_STORE_RETRYING_STORE_H_
#define HET_TF_KERNELS_STORE_RETRYING_STORE_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/store/embedding_store.h"
#include "kernels/store/timer.h"

namespace het {

struct RetryOptions {
  Incarnation worker = 0;  // this worker's incarnation
  Incarnation shard = 0;   // the shard's, as first met
  std::string name;        // "shard 1 (127.0.0.1:4700)", for messages
  std::chrono::milliseconds deadline{30000};
  // The longest that the wrapped store takes for one attempt: none begins that
  // could end after the deadline, except the first.
  std::chrono::milliseconds attempt{0};
  // The pause before attempt n + 1 lies between one half and all of
  // initial_backoff * 2^(n-1), and is at most max_backoff.
  std::chrono::milliseconds initial_backoff{10};
  std::chrono::milliseconds max_backoff{1000};
  std::uint64_t jitter_seed = 0;
  bool sole_writer = false;  // see EmbeddingStore
};

class RetryingStore final : public EmbeddingStore {
 public:
  RetryingStore(std::shared_ptr<EmbeddingStore> store, RetryOptions options,
                std::shared_ptr<Timer> timer);
  ~RetryingStore() override;

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override;
  Status CreateTable(const TableSpec& spec) override;
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override;
  Result<std::vector<ShardStats>> Stats() override;
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override;
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override;
  bool sole_writer() const override;
  Traffic traffic() const override;

 private:
  struct Core;
  class Call;

  // Runs a blocking call until it succeeds, fails for good, or is out of time.
  Status Retry(const std::string& call, const std::function<Status()>& attempt);
  // The same for one that gives a value.
  template <typename T, typename Attempt>
  Result<T> RetryFor(const std::string& call, const Attempt& attempt);

  const std::shared_ptr<Core> core_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_RETRYING_STORE_H_
