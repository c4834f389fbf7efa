// CacheCore: the state of one EmbeddingCache and the moves that operations are
// made of. lookup.h, prefetch.h, update.h and flush.h say in which order they
// make them.
//
// The order in which flights are given to the store is the order in which they
// were made under the lock: one thread at a time takes them from a queue, so a
// fetch never overtakes a push that was made before it.
//
// Ownership: shared; flights under way keep it alive. Thread-safety: Run,
// stats, ForgetCopies and ForgetAll may be called from any thread; everything else wants
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
#include "kernels/base/parallel.h"
#include "kernels/cache/batch.h"
#include "kernels/cache/dirty_rows.h"
#include "kernels/cache/embedding_cache.h"
#include "kernels/cache/entries.h"
#include "kernels/cache/eviction_policy.h"
#include "kernels/cache/operation.h"
#include "kernels/cache/row_math.h"
#include "kernels/initializer/initializer.h"
#include "kernels/optimizer/optimizer.h"

namespace het {

class CacheCore : public std::enable_shared_from_this<CacheCore> {
 public:
  using Entry = Entries::Entry;

  CacheCore(const TableSpec& table, const CacheOptions& options,
            std::shared_ptr<EmbeddingStore> store,
            std::unique_ptr<const Initializer> initializer,
            const Optimizer& optimizer, std::unique_ptr<EvictionPolicy> policy,
            Executor executor);

  // As created: the optimizer may have come later (optimizer()).
  const TableSpec& table() const { return table_; }
  ComponentSpec optimizer() const HET_EXCLUDES(mutex);
  // The table, which had no optimizer, has this one from now on.
  void SetOptimizer(const ComponentSpec& spec, const Optimizer& optimizer)
      HET_EXCLUDES(mutex);
  const CacheOptions& options() const { return options_; }
  EmbeddingStore& store() { return *store_; }
  std::size_t dimension() const { return table_.dimension; }
  const Executor& executor() const { return executor_; }

  // An empty batch, for a call's ids.
  std::shared_ptr<Batch> NewBatch() { return pool_.Take(); }
  // Claims the batch of an open lookup of these ids, inverted; null when there
  // is none. Its rows stay resident while it is open, which only the lock can
  // tell.
  std::shared_ptr<Batch> ClaimOpen(Span<const RowId> ids) HET_EXCLUDES(mutex);
  // Claims the oldest staged batch of these ids, with its pins; null when there
  // is none.
  std::shared_ptr<Batch> ClaimStaged(Span<const LookupPart> parts)
      HET_EXCLUDES(mutex);

  // Starts an operation.
  void Run(std::shared_ptr<Operation> operation) HET_EXCLUDES(mutex);
  CacheStats stats() const HET_EXCLUDES(mutex);
  // After rows were overwritten at the store: copies go, or are fetched before
  // they are read again.
  void ForgetCopies(Span<const RowId> ids) HET_EXCLUDES(mutex);
  Status ForgetAll() HET_EXCLUDES(mutex);

  mutable Mutex mutex;

  // --- Rows in use. ---------------------------------------------------------

  // Finds the entries of the batch's ids; kNone where there is none.
  void FindAll(Batch* batch) const HET_REQUIRES(mutex);
  // In a loop over entries, of which some may be kNone: bring near what comes
  // soon, the states or also values and pending gradients.
  void PrefetchStates(const std::vector<Entry>& entries, std::size_t i) const
      HET_REQUIRES(mutex) {
    constexpr std::size_t kAhead = 16;
    if (i + kAhead < entries.size() && entries[i + kAhead] != Entries::kNone) {
      entries_.PrefetchState(entries[i + kAhead]);
    }
  }
  void PrefetchRows(const std::vector<Entry>& entries, std::size_t i)
      HET_REQUIRES(mutex) {
    constexpr std::size_t kAhead = 8;
    PrefetchStates(entries, i);
    if (i + kAhead >= entries.size()) return;
    PrefetchRow(entries_.values(entries[i + kAhead]), dimension());
    PrefetchRow(entries_.pending(entries[i + kAhead]), dimension());
  }
  void Pin(Entry entry) HET_REQUIRES(mutex) {
    if (entries_[entry].pins++ == 0) --idle_;
  }
  // A new, pinned entry, to be fetched by a flight.
  Entry PinNew(RowId id) HET_REQUIRES(mutex);
  void Unpin(Entry entry) HET_REQUIRES(mutex);
  void UnpinAll(const Batch& batch) HET_REQUIRES(mutex);
  // The rows of a training lookup, which it has pinned, stay so until the next
  // commit. The oldest of too many such lookups is closed.
  void Open(std::shared_ptr<Batch> batch) HET_REQUIRES(mutex);
  // True when the batch is open: the pins are the caller's from now on.
  bool TakeOver(Batch* batch) HET_REQUIRES(mutex);
  void CloseLookups() HET_REQUIRES(mutex);
  // Evicts what exceeds the capacity.
  void EvictOverflow() HET_REQUIRES(mutex);

  // --- Asking for a batch, now or ahead. ------------------------------------

  // Finds the entries of the batch's ids for a read, and pins those that need no
  // question. False when a row is in flight that must land before it is asked
  // for: `operation` waits for it, and nothing is pinned.
  bool Find(Batch* batch, ReadMode mode,
            const std::shared_ptr<Operation>& operation) HET_REQUIRES(mutex);
  // After Find, whose batch has `rest`: pins these entries, makes those that are
  // missing, adds to the flights what the store has to be asked, and counts.
  // `operation` waits for the rows that are in flight already, unless it is
  // null.
  void Ask(Batch* batch, ReadMode mode, Flights* flights,
           const std::shared_ptr<Operation>& operation) HET_REQUIRES(mutex);
  // Keeps a batch whose flights have been sent, and its pins, for the lookup
  // that comes at most `ahead` commits later. Of more than `most` the oldest
  // are let go.
  void Stage(std::shared_ptr<Batch> batch, int ahead, std::size_t most)
      HET_REQUIRES(mutex);
  // Of a claimed batch: its lookup may use what was asked for.
  bool IsFresh(const Batch& batch) const HET_REQUIRES(mutex);
  // Gives the pins of a staged batch back; rows in flight stay until they land.
  void Unstage(Batch* batch) HET_REQUIRES(mutex);

  // --- Reading and writing. -------------------------------------------------

  // True when a row that its own clocks allow may be used without asking anyone.
  bool NeverValidated() const { return never_validated_; }
  bool WriteStalenessUsedUp(Entry entry) const HET_REQUIRES(mutex);
  // Used up, or overwritten at the store by Assign.
  bool MustFetch(Entry entry) const HET_REQUIRES(mutex) {
    return entries_[entry].outdated || WriteStalenessUsedUp(entry);
  }
  // Of a row in flight: own commits made since leave the copy used up even if
  // what is under way finds it valid or renews it; or it is outdated.
  bool WillLandUsedUp(Entry entry) const HET_REQUIRES(mutex);
  void CountHit(Entry entry) HET_REQUIRES(mutex) {
    CountHit(entries_[entry], &counts);
  }

  // Copies the row of every id of the batch to its place; `parts` are those that
  // the batch was made of.
  void CopyRows(const Batch& batch, Span<const LookupPart> parts)
      HET_REQUIRES(mutex);

  // Copies the row of every distinct id of the batch to `rows`, one after the
  // other.
  void CopyDistinctRows(const Batch& batch, float* rows) HET_REQUIRES(mutex);

  // One commit: number it, then note and write the pinned rows; `unpin`: nobody
  // has to wait for them any more.
  void BeginCommit() HET_REQUIRES(mutex);
  void WriteRows(const Batch& batch, const float* gradients,
                 float learning_rate, float scale, bool unpin)
      HET_REQUIRES(mutex);

  // The number of the last commit: of the round under way, or of the last one.
  std::uint64_t Round() const HET_REQUIRES(mutex) {
    return static_cast<std::uint64_t>(commit_);
  }

  // --- Flights. -------------------------------------------------------------

  void Fetch(Entry entry, Flight* flight) HET_REQUIRES(mutex);
  void Validate(Entry entry, Flight* flight) HET_REQUIRES(mutex);
  // Moves the pending gradient of a row that is not in flight into the flight.
  void Push(Entry entry, Flight* flight) HET_REQUIRES(mutex);
  // The last of the flights, or a new one when that has as many rows as an
  // exchange may have.
  Flight* Room(Flights* flights) const;
  bool IsFull(const Flight& flight) const {
    return flight.rows_there() >= exchange_rows_ ||
           flight.rows_back() >= exchange_rows_;
  }
  // Sends the flights, in order, with what should travel with the next
  // exchange: all gradients of evicted rows, before anything is fetched, and
  // of due rows as many as there is room for. `operation` waits for its own
  // flights, not for those that are sent for these alone.
  void SendWithDue(Flights flights, const std::shared_ptr<Operation>& operation)
      HET_REQUIRES(mutex);
  // Hands the flight to the store once the lock is free; `operation` waits for
  // it, unless it is null. An empty flight is not sent.
  void Send(std::shared_ptr<Flight> flight,
            const std::shared_ptr<Operation>& operation) HET_REQUIRES(mutex);
  // `operation` waits for the flight the entry is in. False: it is in none.
  bool Join(Entry entry, const std::shared_ptr<Operation>& operation)
      HET_REQUIRES(mutex);
  // `operation` waits for every flight sent so far.
  void JoinAllSent(const std::shared_ptr<Operation>& operation)
      HET_REQUIRES(mutex) {
    JoinSent(last_number_, operation);
  }
  // For those up to a number.
  void JoinSent(std::uint64_t number,
                const std::shared_ptr<Operation>& operation)
      HET_REQUIRES(mutex);

  EntryState& state(Entry entry) HET_REQUIRES(mutex) { return entries_[entry]; }
  bool AnyUnderWay() const HET_REQUIRES(mutex) { return !under_way_.empty(); }
  // One more than the largest entry there has been.
  Entry end() const HET_REQUIRES(mutex) { return entries_.end(); }
  bool IsDirty(Entry entry) const HET_REQUIRES(mutex) {
    return entries_[entry].occupied && entries_[entry].pending_commits > 0;
  }
  CacheStats counts HET_GUARDED_BY(mutex);

 private:
  // The forward passes without a commit that are kept open.
  static constexpr std::size_t kMaxOpenLookups = 64;
  // The store is given as many rows at once as so many full exchanges have.
  // What comes back late because too much is under way would be sent again.
  static constexpr std::size_t kFullExchangesUnderWay = 4;

  using Finished = std::vector<std::pair<std::function<void(Status)>, Status>>;

  static void CountHit(const EntryState& state, CacheStats* counts);
  // Pins, and counts as hits, the rows of the batch that may be used as they
  // are, without asking anyone; the others are its `rest`. Finds the entries
  // as well unless they have been found.
  void PinValid(Batch* batch, bool found) HET_REQUIRES(mutex);
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
  // Marks as due what has been dirty for too many commits.
  void MarkIdle() HET_REQUIRES(mutex);
  // Sends what is queued and calls the finished operations' `done`.
  void AfterUnlock(Finished finished) HET_EXCLUDES(mutex);
  void Close(Batch* batch) HET_REQUIRES(mutex);
  void UnstageAll() HET_REQUIRES(mutex);
  // Those that a commit has left too old.
  void UnstageOld() HET_REQUIRES(mutex);
  // Nobody uses these rows any more, and they stay.
  void Idle(const std::vector<Entry>& unused) HET_REQUIRES(mutex);
  // Drops what is no longer used and does not stay. False: it stays, idle.
  bool DropIfUnwanted(Entry entry) HET_REQUIRES(mutex);
  std::uint64_t RoundOf(const Flight& flight) const HET_REQUIRES(mutex);
  std::uint16_t SlotOf(Flight* flight) HET_REQUIRES(mutex);
  // The step of a row whose optimizer is not linear.
  float StepOf(Entry entry) const HET_REQUIRES(mutex) {
    return entries_.step(entry).learning_rate * entries_.step(entry).step_scale;
  }
  void Drop(Entry entry) HET_REQUIRES(mutex);
  void ForgetCopy(Entry entry) HET_REQUIRES(mutex);
  // Where the gradient of the next evicted row goes.
  PushBatch* OutboxBatch() HET_REQUIRES(mutex);

  const TableSpec table_;
  const TableId table_id_;
  const CacheOptions options_;
  const std::size_t exchange_rows_;  // the most an exchange has, each way
  const std::shared_ptr<EmbeddingStore> store_;
  const std::unique_ptr<const Initializer> initializer_;
  const Executor executor_;
  const bool never_validated_;
  BatchPool pool_;

  ComponentSpec optimizer_ HET_GUARDED_BY(mutex);
  bool linear_ HET_GUARDED_BY(mutex);
  Entries entries_ HET_GUARDED_BY(mutex);
  const std::unique_ptr<EvictionPolicy> policy_ HET_GUARDED_BY(mutex);
  std::int64_t idle_ HET_GUARDED_BY(mutex) = 0;  // entries without a pin
  std::int64_t commit_ HET_GUARDED_BY(mutex) = 0;
  std::deque<std::shared_ptr<Batch>> open_lookups_ HET_GUARDED_BY(mutex);
  // Oldest first.
  std::deque<std::shared_ptr<Batch>> staged_ HET_GUARDED_BY(mutex);
  // Gradients of evicted rows, in batches of at most exchange_rows_; they
  // travel with the next exchange.
  std::deque<PushBatch> outbox_ HET_GUARDED_BY(mutex);
  // Rows whose write staleness is used up (marked `due`).
  std::vector<Entry> due_ HET_GUARDED_BY(mutex);
  DirtyRows dirty_ HET_GUARDED_BY(mutex);

  Status failure_ HET_GUARDED_BY(mutex);
  std::deque<std::shared_ptr<Flight>> queue_ HET_GUARDED_BY(mutex);
  bool sending_ HET_GUARDED_BY(mutex) = false;
  // Of the flights that the store has.
  std::size_t rows_under_way_ HET_GUARDED_BY(mutex) = 0;
  // Flights that fetch or validate, by EntryState::flight; 0 stands for none.
  std::vector<Flight*> slots_ HET_GUARDED_BY(mutex) = {nullptr};
  std::vector<std::uint16_t> free_slots_ HET_GUARDED_BY(mutex);
  std::uint64_t last_number_ HET_GUARDED_BY(mutex) = 0;
  std::set<std::uint64_t> under_way_ HET_GUARDED_BY(mutex);
  // Operations that wait for all flights up to a number.
  std::vector<std::pair<std::uint64_t, std::shared_ptr<Operation>>> flushing_
      HET_GUARDED_BY(mutex);
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_CACHE_CORE_H_
