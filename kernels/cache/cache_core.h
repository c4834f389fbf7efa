// CacheCore: the state of one EmbeddingCache and the moves that operations are
// made of. lookup.h, update.h and flush.h say in which order they make them.
//
// The order in which flights are given to the store is the order in which they
// were made under the lock: one thread at a time takes them from a queue, so a
// fetch never overtakes a push that was made before it.
//
// Ownership: shared; flights under way keep it alive. Thread-safety: Run,
// stats and AssignCopies may be called from any thread; everything else wants
// the lock. Lock order: mutex is a leaf; the store and `done` are called
// without it.

#ifndef HET_TF_KERNELS_CACHE_CACHE_CORE_H_
#define HET_TF_KERNELS_CACHE_CACHE_CORE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/cache/embedding_cache.h"
#include "kernels/cache/entries.h"
#include "kernels/cache/eviction_policy.h"
#include "kernels/cache/operation.h"
#include "kernels/initializer/initializer.h"
#include "kernels/optimizer/optimizer.h"

namespace het {

class CacheCore : public std::enable_shared_from_this<CacheCore> {
 public:
  using Entry = Entries::Entry;

  CacheCore(const TableSpec& table, const CacheOptions& options,
            std::shared_ptr<EmbeddingStore> store,
            std::unique_ptr<const Initializer> initializer,
            const Optimizer& optimizer, std::unique_ptr<EvictionPolicy> policy);

  // As created: the optimizer may have come later (optimizer()).
  const TableSpec& table() const { return table_; }
  ComponentSpec optimizer() const HET_EXCLUDES(mutex);
  // The table, which had no optimizer, has this one from now on.
  void SetOptimizer(const ComponentSpec& spec, const Optimizer& optimizer)
      HET_EXCLUDES(mutex);
  const CacheOptions& options() const { return options_; }
  EmbeddingStore& store() { return *store_; }
  std::size_t dimension() const { return table_.dimension; }

  // Starts an operation.
  void Run(std::shared_ptr<Operation> operation) HET_EXCLUDES(mutex);
  CacheStats stats() const HET_EXCLUDES(mutex);
  // After rows were overwritten at the store: own copies take the new values.
  void AssignCopies(Span<const RowId> ids, Span<const float> rows)
      HET_EXCLUDES(mutex);

  mutable Mutex mutex;

  // --- Rows in use. ---------------------------------------------------------

  // The entry of `id`, pinned; kNone when there is none.
  Entry Pin(RowId id) HET_REQUIRES(mutex);
  // A new, pinned entry, to be fetched by a flight.
  Entry PinNew(RowId id) HET_REQUIRES(mutex);
  void Unpin(Entry entry) HET_REQUIRES(mutex);
  // Marks the pinned entries as read by a training lookup: they stay until the
  // next commit. The oldest of too many such lookups is closed.
  void Open(std::vector<Entry> entries) HET_REQUIRES(mutex);
  void CloseLookups() HET_REQUIRES(mutex);
  // Evicts what exceeds the capacity.
  void EvictOverflow() HET_REQUIRES(mutex);

  // --- Reading and writing. -------------------------------------------------

  // True when the row may be used without asking anyone, or when it must not be
  // used at all, by its own clocks and the options.
  bool NeverValidated() const { return options_.staleness == kUnboundedStaleness; }
  bool WriteStalenessUsedUp(Entry entry) const HET_REQUIRES(mutex);
  // Of a row in flight: own commits made since leave the copy used up even if
  // what is under way finds it valid or renews it.
  bool WillLandUsedUp(Entry entry) const HET_REQUIRES(mutex);
  void CountHit(Entry entry) HET_REQUIRES(mutex);

  // One commit: number it, then write each row once.
  void BeginCommit() HET_REQUIRES(mutex);
  void Write(Entry entry, const float* gradient, float learning_rate)
      HET_REQUIRES(mutex);

  // --- Flights. -------------------------------------------------------------

  void Fetch(Entry entry, Flight* flight) HET_REQUIRES(mutex);
  void Validate(Entry entry, Flight* flight) HET_REQUIRES(mutex);
  // Moves the pending gradient of a row that is not in flight into the flight.
  void Push(Entry entry, Flight* flight) HET_REQUIRES(mutex);
  // Moves everything that should travel with the next exchange into it.
  void PushDue(Flight* flight) HET_REQUIRES(mutex);
  // Moves the pending gradients of all rows into it. REQUIRES: none is in
  // flight.
  void PushAll(Flight* flight) HET_REQUIRES(mutex);
  // Hands the flight to the store once the lock is free; `operation` waits for
  // it. An empty flight is not sent.
  void Send(std::shared_ptr<Flight> flight,
            const std::shared_ptr<Operation>& operation) HET_REQUIRES(mutex);
  // `operation` waits for the flight the entry is in. False: it is in none.
  bool Join(Entry entry, const std::shared_ptr<Operation>& operation)
      HET_REQUIRES(mutex);
  // `operation` waits for every flight a row with a pending gradient is in.
  // False: there is none.
  bool JoinAllDirty(const std::shared_ptr<Operation>& operation)
      HET_REQUIRES(mutex);
  // `operation` waits for every flight sent so far.
  void JoinAllSent(const std::shared_ptr<Operation>& operation)
      HET_REQUIRES(mutex);

  EntryState& state(Entry entry) HET_REQUIRES(mutex) { return entries_[entry]; }
  const float* values(Entry entry) HET_REQUIRES(mutex) {
    return entries_.values(entry);
  }
  Entry Find(RowId id) const HET_REQUIRES(mutex) { return entries_.Find(id); }
  CacheStats counts HET_GUARDED_BY(mutex);

 private:
  // The forward passes without a commit that are kept open.
  static constexpr std::size_t kMaxOpenLookups = 64;

  using Finished = std::vector<std::pair<std::function<void(Status)>, Status>>;

  // Advances an operation that waits for nothing.
  void Step(const std::shared_ptr<Operation>& operation, Finished* finished)
      HET_REQUIRES(mutex);
  void Arrived(const std::shared_ptr<Operation>& operation, Finished* finished)
      HET_REQUIRES(mutex);
  void Land(Flight* flight, Status status, ExchangeReply reply)
      HET_EXCLUDES(mutex);
  Status CheckReply(const Flight& flight, const ExchangeReply& reply) const;
  // Computes the rows that nobody has pushed to: the shard sends a flag alone.
  void FillInitialRows(const Flight& flight, ExchangeReply* reply) const;
  void Replace(Entry entry, const RowView& row) HET_REQUIRES(mutex);
  bool IsDirty(Entry entry) const HET_REQUIRES(mutex) {
    return entries_[entry].occupied && entries_[entry].pending_commits > 0;
  }
  // Sends what is queued and calls the finished operations' `done`.
  void AfterUnlock(Finished finished) HET_EXCLUDES(mutex);
  // No longer used by anybody: it becomes evictable, or goes at once.
  void RetireIfUnused(Entry entry) HET_REQUIRES(mutex);
  void Drop(Entry entry) HET_REQUIRES(mutex);

  const TableSpec table_;
  const TableId table_id_;
  const CacheOptions options_;
  const std::int64_t max_pending_commits_;
  const std::shared_ptr<EmbeddingStore> store_;
  const std::unique_ptr<const Initializer> initializer_;

  ComponentSpec optimizer_ HET_GUARDED_BY(mutex);
  bool linear_ HET_GUARDED_BY(mutex);
  Entries entries_ HET_GUARDED_BY(mutex);
  const std::unique_ptr<EvictionPolicy> policy_ HET_GUARDED_BY(mutex);
  std::int64_t evictable_ HET_GUARDED_BY(mutex) = 0;
  std::int64_t commit_ HET_GUARDED_BY(mutex) = 0;
  std::deque<std::vector<Entry>> open_lookups_ HET_GUARDED_BY(mutex);
  // Gradients of evicted rows; they travel with the next exchange.
  PushBatch outbox_ HET_GUARDED_BY(mutex);
  // Rows whose write staleness is used up (marked `due`).
  std::vector<Entry> due_ HET_GUARDED_BY(mutex);
  // (entry, commit that made it dirty), oldest first; may be out of date.
  std::deque<std::pair<Entry, std::int64_t>> dirty_ HET_GUARDED_BY(mutex);

  Status failure_ HET_GUARDED_BY(mutex);
  std::deque<std::shared_ptr<Flight>> queue_ HET_GUARDED_BY(mutex);
  bool sending_ HET_GUARDED_BY(mutex) = false;
  std::uint64_t last_number_ HET_GUARDED_BY(mutex) = 0;
  std::set<std::uint64_t> under_way_ HET_GUARDED_BY(mutex);
  // Operations that wait for all flights up to a number.
  std::vector<std::pair<std::uint64_t, std::shared_ptr<Operation>>> flushing_
      HET_GUARDED_BY(mutex);
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_CACHE_CORE_H_
