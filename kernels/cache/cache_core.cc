#include "kernels/cache/cache_core.h"

#include <algorithm>
#include <cstring>

#include "kernels/consistency/staleness.h"

namespace het {
namespace {

std::int64_t MaxPendingCommits(const CacheOptions& options) {
  if (options.max_pending_commits > 0) return options.max_pending_commits;
  if (options.staleness >= kUnboundedStaleness / 20) return kUnboundedStaleness;
  return 10 * (options.staleness + 1);
}

}  // namespace

CacheCore::CacheCore(const TableSpec& table, const CacheOptions& options,
                     std::shared_ptr<EmbeddingStore> store,
                     std::unique_ptr<const Optimizer> optimizer,
                     std::unique_ptr<EvictionPolicy> policy)
    : table_(table),
      table_id_(table.id()),
      options_(options),
      max_pending_commits_(MaxPendingCommits(options)),
      store_(std::move(store)),
      optimizer_(std::move(optimizer)),
      linear_(optimizer_->linear()),
      entries_(table.dimension),
      policy_(std::move(policy)) {}

// --- Operations and flights. ------------------------------------------------

void CacheCore::Run(std::shared_ptr<Operation> operation) {
  Finished finished;
  {
    MutexLock lock(&mutex);
    Step(operation, &finished);
  }
  AfterUnlock(std::move(finished));
}

void CacheCore::Step(const std::shared_ptr<Operation>& operation,
                     Finished* finished) {
  if (failure_.ok() && !operation->Advance(*this)) return;
  finished->emplace_back(operation->TakeDone(), failure_);
}

void CacheCore::Arrived(const std::shared_ptr<Operation>& operation,
                        Finished* finished) {
  if (--operation->waits_for == 0) Step(operation, finished);
}

void CacheCore::AfterUnlock(Finished finished) {
  // Whoever finds the queue unattended empties it, for the others too.
  mutex.Lock();
  if (!sending_) {
    sending_ = true;
    while (!queue_.empty()) {
      const std::shared_ptr<Flight> flight = std::move(queue_.front());
      queue_.pop_front();
      mutex.Unlock();
      store_->Exchange(flight->request,
                       [self = shared_from_this(), flight](
                           Status status, ExchangeReply reply) {
                         self->Land(flight.get(), std::move(status), reply);
                       });
      mutex.Lock();
    }
    sending_ = false;
  }
  mutex.Unlock();
  for (auto& [done, status] : finished) done(std::move(status));
}

void CacheCore::Send(std::shared_ptr<Flight> flight,
                     const std::shared_ptr<Operation>& operation) {
  if (flight->empty()) return;
  TableExchange exchange;
  exchange.table = table_id_;
  exchange.staleness = options_.staleness;
  exchange.push_ids = flight->pushes.ids;
  exchange.push_clocks = flight->pushes.clocks;
  exchange.push_learning_rates = flight->pushes.learning_rates;
  exchange.push_gradients = flight->pushes.gradients;
  exchange.validate_ids = flight->validate_ids;
  exchange.validate_clocks = flight->validate_clocks;
  exchange.fetch_ids = flight->fetch_ids;
  flight->request.tables.push_back(exchange);
  flight->number = ++last_number_;
  under_way_.insert(flight->number);
  flight->waiters.push_back(operation);
  ++operation->waits_for;
  counts.pushed_rows += static_cast<std::int64_t>(flight->pushes.ids.size());
  queue_.push_back(std::move(flight));
}

bool CacheCore::Join(Entry entry, const std::shared_ptr<Operation>& operation) {
  Flight* flight = entries_[entry].flight;
  if (flight == nullptr) return false;
  // An operation joins all its flights in one go under the lock, so if it is
  // among the waiters it is the last.
  if (flight->waiters.empty() || flight->waiters.back() != operation) {
    flight->waiters.push_back(operation);
    ++operation->waits_for;
  }
  return true;
}

bool CacheCore::JoinAllDirty(const std::shared_ptr<Operation>& operation) {
  bool joined = false;
  for (Entry entry = 0; entry < entries_.end(); ++entry) {
    if (IsDirty(entry) && Join(entry, operation)) joined = true;
  }
  return joined;
}

void CacheCore::JoinAllSent(const std::shared_ptr<Operation>& operation) {
  if (under_way_.empty()) return;
  flushing_.emplace_back(last_number_, operation);
  ++operation->waits_for;
}

void CacheCore::Land(Flight* flight, Status status,
                     const ExchangeReply& reply) {
  Finished finished;
  {
    MutexLock lock(&mutex);
    if (status.ok()) {
      const TableReply& rows = reply.tables[0];
      for (std::size_t i = 0; i < rows.fetched.size(); ++i) {
        Replace(flight->fetch_entries[i], rows.fetched[i]);
      }
      for (std::size_t i = 0; i < rows.validated.size(); ++i) {
        const Entry entry = flight->validate_entries[i];
        if (rows.validated[i].values != nullptr) {
          Replace(entry, rows.validated[i]);
          ++counts.invalid;
        } else {
          entries_[entry].flight = nullptr;
          CountHit(entry);
        }
      }
    } else if (failure_.ok()) {
      failure_ = status.WithContext("table '" + table_.name + "'");
    }
    under_way_.erase(flight->number);
    for (const auto& waiter : flight->waiters) Arrived(waiter, &finished);
    flight->waiters.clear();
    const std::uint64_t landed =
        under_way_.empty() ? last_number_ : *under_way_.begin() - 1;
    for (std::size_t i = 0; i < flushing_.size();) {
      if (flushing_[i].first > landed) {
        ++i;
        continue;
      }
      const std::shared_ptr<Operation> waiter = std::move(flushing_[i].second);
      flushing_.erase(flushing_.begin() + static_cast<std::ptrdiff_t>(i));
      Arrived(waiter, &finished);
    }
  }
  AfterUnlock(std::move(finished));
}

// The reply contains every push sent before it, and none is sent while it is
// under way: what is pending now is exactly what it lacks.
void CacheCore::Replace(Entry entry, const RowView& row) {
  EntryState& state = entries_[entry];
  float* values = entries_.values(entry);
  std::memcpy(values, row.values, dimension() * sizeof(float));
  state.step_scale = row.step_scale;
  state.clocks = ClocksAfterFetch(row.clock, state.pending_commits);
  state.flight = nullptr;
  if (state.pending_commits == 0) return;
  const float* pending = entries_.pending(entry);
  const float step = linear_ ? 1.0f : state.learning_rate * state.step_scale;
  for (std::size_t d = 0; d < dimension(); ++d) values[d] -= step * pending[d];
}

void CacheCore::Fetch(Entry entry, Flight* flight) {
  entries_[entry].flight = flight;
  flight->fetch_ids.push_back(entries_[entry].id);
  flight->fetch_entries.push_back(entry);
}

void CacheCore::Validate(Entry entry, Flight* flight) {
  EntryState& state = entries_[entry];
  state.flight = flight;
  flight->validate_ids.push_back(state.id);
  flight->validate_clocks.push_back(state.clocks.current);
  flight->validate_entries.push_back(entry);
}

void CacheCore::Push(Entry entry, Flight* flight) {
  EntryState& state = entries_[entry];
  float* pending = entries_.pending(entry);
  flight->pushes.Append(state.id, state.clocks.current,
                        linear_ ? 1.0f : state.learning_rate, pending,
                        dimension());
  std::fill_n(pending, dimension(), 0.0f);
  state.pending_commits = 0;
  state.due = false;
  --counts.pending_rows;
}

void CacheCore::PushDue(Flight* flight) {
  counts.pending_rows -= static_cast<std::int64_t>(outbox_.ids.size());
  if (flight->pushes.empty()) {
    flight->pushes = std::move(outbox_);
  } else {
    flight->pushes.Append(outbox_);
  }
  outbox_ = PushBatch{};

  while (!dirty_.empty() &&
         dirty_.front().second + max_pending_commits_ <= commit_) {
    const auto [entry, since] = dirty_.front();
    dirty_.pop_front();
    EntryState& state = entries_[entry];
    if (IsDirty(entry) && state.dirty_since == since && !state.due) {
      state.due = true;
      due_.push_back(entry);
    }
  }
  std::size_t kept = 0;
  for (const Entry entry : due_) {
    const EntryState& state = entries_[entry];
    if (!state.occupied || !state.due) continue;  // pushed or evicted since
    if (state.flight != nullptr) {
      due_[kept++] = entry;
    } else {
      Push(entry, flight);
    }
  }
  due_.resize(kept);
}

void CacheCore::PushAll(Flight* flight) {
  PushDue(flight);
  for (Entry entry = 0; entry < entries_.end(); ++entry) {
    if (IsDirty(entry)) Push(entry, flight);
  }
}

// --- Rows in use. -----------------------------------------------------------

CacheCore::Entry CacheCore::Pin(RowId id) {
  const Entry entry = entries_.Find(id);
  if (entry == Entries::kNone) return entry;
  EntryState& state = entries_[entry];
  if (state.evictable) {
    policy_->Remove(entry);
    state.evictable = false;
    --evictable_;
  }
  ++state.pins;
  return entry;
}

CacheCore::Entry CacheCore::PinNew(RowId id) {
  const Entry entry = entries_.Insert(id);
  ++entries_[entry].pins;
  return entry;
}

void CacheCore::Unpin(Entry entry) {
  --entries_[entry].pins;
  RetireIfUnused(entry);
}

void CacheCore::Open(std::vector<Entry> entries) {
  for (const Entry entry : entries) ++entries_[entry].open_lookups;
  open_lookups_.push_back(std::move(entries));
  if (open_lookups_.size() <= kMaxOpenLookups) return;
  for (const Entry entry : open_lookups_.front()) {
    --entries_[entry].open_lookups;
    RetireIfUnused(entry);
  }
  open_lookups_.pop_front();
  EvictOverflow();
}

void CacheCore::CloseLookups() {
  for (const std::vector<Entry>& lookup : open_lookups_) {
    for (const Entry entry : lookup) {
      --entries_[entry].open_lookups;
      RetireIfUnused(entry);
    }
  }
  open_lookups_.clear();
}

void CacheCore::RetireIfUnused(Entry entry) {
  EntryState& state = entries_[entry];
  if (state.pins > 0 || state.open_lookups > 0) return;
  if (options_.capacity == 0 || state.transient) {
    policy_->Forget(entry);
    Drop(entry);
    return;
  }
  policy_->Add(entry);
  state.evictable = true;
  ++evictable_;
}

void CacheCore::EvictOverflow() {
  while (evictable_ > options_.capacity) {
    const Entry entry = policy_->Evict();
    --evictable_;
    ++counts.evictions;
    Drop(entry);
  }
}

void CacheCore::Drop(Entry entry) {
  const EntryState& state = entries_[entry];
  if (state.pending_commits > 0) {
    outbox_.Append(state.id, state.clocks.current,
                   linear_ ? 1.0f : state.learning_rate,
                   entries_.pending(entry), dimension());
  }
  entries_.Erase(entry);
}

// --- Reading and writing. ---------------------------------------------------

bool CacheCore::WriteStalenessUsedUp(Entry entry) const {
  return !WithinWriteStaleness(entries_[entry].clocks, options_.staleness);
}

void CacheCore::CountHit(Entry entry) {
  ++counts.hits;
  const CopyClocks& clocks = entries_[entry].clocks;
  const auto staleness =
      static_cast<std::uint64_t>(clocks.current - clocks.start);
  const int bucket = staleness == 0 ? 0 : 64 - __builtin_clzll(staleness);
  ++counts.staleness[static_cast<std::size_t>(
      std::min(bucket, CacheStats::kStalenessBuckets - 1))];
}

void CacheCore::BeginCommit() {
  ++commit_;
  ++counts.updates;
}

void CacheCore::Write(Entry entry, const float* gradient,
                      float learning_rate) {
  EntryState& state = entries_[entry];
  float* values = entries_.values(entry);
  float* pending = entries_.pending(entry);
  if (linear_) {
    for (std::size_t d = 0; d < dimension(); ++d) {
      const float step = learning_rate * gradient[d];
      pending[d] += step;
      values[d] -= step;
    }
  } else {
    const float step = learning_rate * state.step_scale;
    for (std::size_t d = 0; d < dimension(); ++d) {
      pending[d] += gradient[d];
      values[d] -= step * gradient[d];
    }
  }
  state.learning_rate = learning_rate;
  Tick(&state.clocks);
  ++counts.updated_rows;
  if (state.pending_commits++ == 0) {
    ++counts.pending_rows;
    state.dirty_since = commit_;
    if (max_pending_commits_ != kUnboundedStaleness) {
      dirty_.emplace_back(entry, commit_);
    }
  }
  if (!state.due && WriteStalenessUsedUp(entry)) {
    state.due = true;
    due_.push_back(entry);
  }
}

void CacheCore::AssignCopies(Span<const RowId> ids, Span<const float> rows) {
  MutexLock lock(&mutex);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Entry entry = entries_.Find(ids[i]);
    if (entry == Entries::kNone) continue;
    std::memcpy(entries_.values(entry), &rows[i * dimension()],
                dimension() * sizeof(float));
  }
}

CacheStats CacheCore::stats() const {
  MutexLock lock(&mutex);
  CacheStats stats = counts;
  stats.rows = static_cast<std::int64_t>(entries_.size());
  stats.memory_bytes = entries_.memory_bytes();
  return stats;
}

}  // namespace het
