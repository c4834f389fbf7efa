#include "kernels/cache/cache_core.h"

#include <algorithm>
#include <cstring>

#include "kernels/consistency/staleness.h"

namespace het {
namespace {

// Without a limit a hot row would be one single step of an optimizer that is
// not linear, at the end of the training.
constexpr std::int64_t kMaxPendingCommitsNonLinear = 1000;

std::int64_t MaxPendingCommits(const CacheOptions& options, bool linear) {
  if (options.max_pending_commits > 0) return options.max_pending_commits;
  if (options.staleness < kUnboundedStaleness / 20) {
    return 10 * (options.staleness + 1);
  }
  return linear ? kUnboundedStaleness : kMaxPendingCommitsNonLinear;
}

}  // namespace

CacheCore::CacheCore(const TableSpec& table, const CacheOptions& options,
                     std::shared_ptr<EmbeddingStore> store,
                     std::unique_ptr<const Initializer> initializer,
                     const Optimizer& optimizer,
                     std::unique_ptr<EvictionPolicy> policy, Executor executor)
    : table_(table),
      table_id_(table.id()),
      options_(options),
      exchange_rows_(std::max<std::size_t>(
          options.max_exchange_bytes / (table.dimension * sizeof(float)), 1)),
      store_(std::move(store)),
      initializer_(std::move(initializer)),
      executor_(std::move(executor)),
      never_validated_(options.staleness == kUnboundedStaleness ||
                       store_->sole_writer()),
      optimizer_(table.optimizer),
      linear_(optimizer.linear()),
      entries_(table.dimension, options.capacity),
      policy_(std::move(policy)),
      dirty_(MaxPendingCommits(options, optimizer.linear())) {
  if (!linear_) entries_.KeepSteps();
}

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
      const std::size_t rows =
          queue_.front()->rows_there() + queue_.front()->rows_back();
      if (rows_under_way_ > 0 &&
          rows_under_way_ + rows > kFullExchangesUnderWay * exchange_rows_) {
        break;  // the next one to land goes on
      }
      const std::shared_ptr<Flight> flight = std::move(queue_.front());
      queue_.pop_front();
      rows_under_way_ += rows;
      mutex.Unlock();
      store_->Exchange(flight->request,
                       [self = shared_from_this(), flight](
                           Status status, ExchangeReply reply) {
                         self->Land(flight.get(), std::move(status),
                                    std::move(reply));
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
  exchange.row_format = options_.row_format;
  exchange.gradient_format = options_.gradient_format;
  exchange.push_ids = flight->pushes.ids;
  exchange.push_clocks = flight->pushes.clocks;
  exchange.push_learning_rates = flight->pushes.learning_rates;
  exchange.push_gradients = flight->pushes.gradients;
  exchange.validate_ids = flight->validate_ids;
  exchange.validate_clocks = flight->validate_clocks;
  exchange.fetch_ids = flight->fetch_ids;
  exchange.round = RoundOf(*flight);
  flight->request.tables.push_back(exchange);
  flight->number = ++last_number_;
  under_way_.insert(flight->number);
  if (operation != nullptr) {
    flight->waiters.push_back(operation);
    ++operation->waits_for;
  }
  counts.pushed_rows += static_cast<std::int64_t>(flight->pushes.ids.size());
  queue_.push_back(std::move(flight));
}

// Who has not committed yet may be one who never does, and then must not close
// the rounds of those who train. Between two commits all rounds so far are over.
std::uint64_t CacheCore::RoundOf(const Flight& flight) const {
  if (!table_.synchronous) return 0;
  if (flight.round != 0) return flight.round;
  if (!flight.pushes.empty() || commit_ == 0) return Round();
  return Round() + 1;
}

bool CacheCore::Join(Entry entry, const std::shared_ptr<Operation>& operation) {
  const std::uint16_t slot = entries_[entry].flight;
  if (slot == 0) return false;
  Flight* const flight = slots_[slot];
  // An operation joins all its flights in one go under the lock, so if it is
  // among the waiters it is the last.
  if (flight->waiters.empty() || flight->waiters.back() != operation) {
    flight->waiters.push_back(operation);
    ++operation->waits_for;
  }
  return true;
}

void CacheCore::JoinSent(std::uint64_t number,
                         const std::shared_ptr<Operation>& operation) {
  if (under_way_.empty() || *under_way_.begin() > number) return;
  flushing_.emplace_back(number, operation);
  ++operation->waits_for;
}

void CacheCore::Land(Flight* flight, Status status, ExchangeReply reply) {
  if (status.ok()) status = CheckReply(*flight, reply);
  if (status.ok()) FillInitialRows(*flight, &reply);
  Finished finished;
  {
    MutexLock lock(&mutex);
    rows_under_way_ -= flight->rows_there() + flight->rows_back();
    if (status.ok()) {
      const TableReply& rows = reply.tables[0];
      for (std::size_t i = 0; i < rows.fetched.size(); ++i) {
        PrefetchRows(flight->fetch_entries, i);
        Replace(flight->fetch_entries[i], rows.fetched[i]);
      }
      for (std::size_t i = 0; i < rows.validated.size(); ++i) {
        PrefetchStates(flight->validate_entries, i);
        const Entry entry = flight->validate_entries[i];
        if (rows.validated[i].answered()) {
          Replace(entry, rows.validated[i]);
          ++counts.invalid;
        } else {
          entries_[entry].flight = 0;
          CountHit(entry);
        }
      }
      for (const Entry entry : flight->unused) Unpin(entry);
      EvictOverflow();
    } else if (failure_.ok()) {
      failure_ = status.WithContext("table '" + table_.name + "'");
    }
    under_way_.erase(flight->number);
    if (flight->slot != 0) {
      slots_[flight->slot] = nullptr;
      free_slots_.push_back(flight->slot);
    }
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
  state.set_clocks(ClocksAfterFetch(row.clock, state.pending_commits));
  state.flight = 0;
  state.fetching = false;
  if (!linear_) entries_.step(entry).step_scale = row.step_scale;
  if (state.pending_commits == 0) return;
  const float* pending = entries_.pending(entry);
  const float step = linear_ ? 1.0f : StepOf(entry);
  for (std::size_t d = 0; d < dimension(); ++d) values[d] -= step * pending[d];
}

std::uint16_t CacheCore::SlotOf(Flight* flight) {
  if (flight->slot == 0) {
    if (free_slots_.empty()) {
      flight->slot = static_cast<std::uint16_t>(slots_.size());
      slots_.push_back(flight);
    } else {
      flight->slot = free_slots_.back();
      free_slots_.pop_back();
      slots_[flight->slot] = flight;
    }
  }
  return flight->slot;
}

void CacheCore::Fetch(Entry entry, Flight* flight) {
  entries_[entry].flight = SlotOf(flight);
  entries_[entry].fetching = true;
  entries_[entry].outdated = false;
  flight->fetch_ids.push_back(entries_[entry].id);
  flight->fetch_entries.push_back(entry);
}

void CacheCore::Validate(Entry entry, Flight* flight) {
  EntryState& state = entries_[entry];
  state.flight = SlotOf(flight);
  flight->validate_ids.push_back(state.id);
  flight->validate_clocks.push_back(state.clocks().current);
  flight->validate_entries.push_back(entry);
}

void CacheCore::Push(Entry entry, Flight* flight) {
  EntryState& state = entries_[entry];
  float* pending = entries_.pending(entry);
  flight->pushes.Append(state.id, state.clocks().current,
                        linear_ ? 1.0f : entries_.step(entry).learning_rate,
                        pending, dimension());
  std::fill_n(pending, dimension(), 0.0f);
  state.pending_commits = 0;
  state.due = false;
  --counts.pending_rows;
}

Flight* CacheCore::Room(Flights* flights) const {
  if (flights->empty() || IsFull(*flights->back())) {
    flights->push_back(std::make_shared<Flight>());
  }
  return flights->back().get();
}

void CacheCore::MarkIdle() {
  dirty_.Visit(commit_, [this](Entry entry) HET_NO_THREAD_SAFETY_ANALYSIS {
    EntryState& state = entries_[entry];
    if (!IsDirty(entry) || state.due) return false;
    if (!dirty_.IsDue(state.dirty_since, commit_)) return true;
    state.due = true;
    due_.push_back(entry);
    return false;
  });
}

void CacheCore::SendWithDue(Flights flights,
                            const std::shared_ptr<Operation>& operation) {
  for (; !outbox_.empty(); outbox_.pop_front()) {
    PushBatch& batch = outbox_.front();
    counts.pending_rows -= static_cast<std::int64_t>(batch.ids.size());
    if (outbox_.size() == 1 && !flights.empty() &&
        flights.front()->rows_there() + batch.ids.size() <= exchange_rows_) {
      flights.front()->pushes.Append(batch);
    } else {
      auto alone = std::make_shared<Flight>();
      alone->pushes = std::move(batch);
      Send(std::move(alone), nullptr);
    }
  }

  MarkIdle();
  const std::shared_ptr<Flight> flight =
      flights.empty() ? std::make_shared<Flight>() : flights.back();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < due_.size(); ++i) {
    PrefetchRows(due_, i);
    const Entry entry = due_[i];
    const EntryState& state = entries_[entry];
    if (!state.occupied || !state.due) continue;  // pushed or evicted since
    if (state.flight != 0) {
      due_[kept++] = entry;
    } else if (IsFull(*flight)) {
      due_[kept++] = entry;
    } else {
      Push(entry, flight.get());
      // Nothing else would ever bring it the others' updates, or its new step
      // scale.
      if (options_.staleness == kUnboundedStaleness) {
        Pin(entry);
        flight->unused.push_back(entry);
        Fetch(entry, flight.get());
      }
    }
  }
  due_.resize(kept);
  if (flights.empty()) Send(flight, nullptr);
  for (auto& own : flights) Send(std::move(own), operation);
}

ComponentSpec CacheCore::optimizer() const {
  MutexLock lock(&mutex);
  return optimizer_;
}

void CacheCore::SetOptimizer(const ComponentSpec& spec,
                             const Optimizer& optimizer) {
  std::vector<float> slots(optimizer.SlotCount(dimension()));
  optimizer.InitializeSlots(dimension(), slots.data());
  const float step_scale = optimizer.StepScale(slots.data(), dimension());
  MutexLock lock(&mutex);
  UnstageAll();
  optimizer_ = spec;
  linear_ = optimizer.linear();
  if (!linear_) entries_.KeepSteps();
  dirty_ = DirtyRows(MaxPendingCommits(options_, linear_));
  // A row at clock 0 has new slots. The others have been assigned, or pushed to
  // by a worker that knew the optimizer earlier: the store knows their scale.
  for (Entry entry = 0; entry < entries_.end(); ++entry) {
    EntryState& state = entries_[entry];
    if (state.flight == 0 && state.start == 0) {
      if (!linear_) entries_.step(entry).step_scale = step_scale;
    } else {
      state.outdated = true;
    }
  }
}

CacheStats CacheCore::stats() const {
  MutexLock lock(&mutex);
  CacheStats stats = counts;
  stats.rows = static_cast<std::int64_t>(entries_.size());
  stats.memory_bytes = entries_.memory_bytes() + policy_->memory_bytes() +
                       dirty_.memory_bytes();
  return stats;
}

}  // namespace het
