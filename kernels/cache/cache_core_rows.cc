// CacheCore's rows: who uses them, what is evicted, reading and writing.

#include <algorithm>
#include <utility>

#include "kernels/cache/cache_core.h"
#include "kernels/consistency/staleness.h"

namespace het {

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

PushBatch* CacheCore::OutboxBatch() {
  if (outbox_.empty() || outbox_.back().ids.size() >= exchange_rows_) {
    outbox_.emplace_back();
  }
  return &outbox_.back();
}

void CacheCore::Drop(Entry entry) {
  const EntryState& state = entries_[entry];
  if (state.pending_commits > 0) {
    OutboxBatch()->Append(state.id, state.clocks.current,
                          linear_ ? 1.0f : state.learning_rate,
                          entries_.pending(entry), dimension());
  }
  entries_.Erase(entry);
}

// --- Reading and writing. ---------------------------------------------------

bool CacheCore::WriteStalenessUsedUp(Entry entry) const {
  return !WithinWriteStaleness(entries_[entry].clocks, options_.staleness);
}

bool CacheCore::WillLandUsedUp(Entry entry) const {
  const EntryState& state = entries_[entry];
  if (state.outdated) return true;
  const CopyClocks landed =
      state.fetching ? ClocksAfterFetch(state.clocks.start,
                                        state.pending_commits)
                     : state.clocks;
  return !WithinWriteStaleness(landed, options_.staleness);
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
  // Most of what became dirty has been pushed since: now and then it is taken
  // out, so that the list stays near the number of dirty rows.
  const auto pending = static_cast<std::size_t>(counts.pending_rows);
  if (dirty_.size() < 2 * pending + 4096) return;
  dirty_.erase(std::remove_if(dirty_.begin(), dirty_.end(),
                              [this](const auto& noted)
                                  HET_NO_THREAD_SAFETY_ANALYSIS {
                                    return !IsDirty(noted.first) ||
                                           entries_[noted.first].dirty_since !=
                                               noted.second;
                                  }),
               dirty_.end());
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

void CacheCore::ForgetCopies(Span<const RowId> ids) {
  MutexLock lock(&mutex);
  for (const RowId id : ids) {
    const Entry entry = entries_.Find(id);
    if (entry == Entries::kNone) continue;
    if (!entries_[entry].evictable) {
      // In use: a fetch that is under way may be older than the new values.
      entries_[entry].outdated = true;
      continue;
    }
    policy_->Remove(entry);
    policy_->Forget(entry);
    --evictable_;
    Drop(entry);
  }
}

}  // namespace het
