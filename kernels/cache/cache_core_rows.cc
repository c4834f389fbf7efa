// CacheCore's rows: who uses them, what is evicted, reading and writing.

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cache/cache_core.h"
#include "kernels/cache/row_math.h"
#include "kernels/consistency/staleness.h"

namespace het {
namespace {

// What a thread has to have to do to be worth waking.
constexpr std::size_t kBytesPerThread = std::size_t{256} << 10;

// How far ahead a loop over rows brings them near, and how much of each: what
// follows the processor finds by itself.
constexpr std::size_t kRowsAhead = 8;
void PrefetchRow(const float* row, std::size_t bytes) {
  const char* line = reinterpret_cast<const char*>(row);
  for (std::size_t b = 0; b < std::min<std::size_t>(bytes, 256); b += 64) {
    __builtin_prefetch(line + b);
  }
}

}  // namespace

// --- Rows in use. -----------------------------------------------------------

std::shared_ptr<Batch> CacheCore::ClaimOpen(Span<const RowId> ids) {
  std::vector<std::shared_ptr<Batch>> candidates;
  {
    MutexLock lock(&mutex);
    for (const auto& batch : open_lookups_) {
      if (!batch->claimed && batch->unique.inverse().size() == ids.size()) {
        candidates.push_back(batch);
      }
    }
  }
  for (auto& batch : candidates) {
    if (!batch->unique.IsOf(ids)) continue;
    MutexLock lock(&mutex);
    if (std::exchange(batch->claimed, true)) continue;
    return std::move(batch);
  }
  return nullptr;
}

void CacheCore::FindAll(Batch* batch) const {
  constexpr std::size_t kIndexAhead = 32, kEntryAhead = 16;
  const std::vector<RowId>& ids = batch->unique.ids();
  batch->entries.resize(ids.size());
  for (std::size_t u = 0; u < ids.size(); ++u) {
    if (u + kIndexAhead < ids.size()) {
      entries_.PrefetchIndex(ids[u + kIndexAhead]);
      entries_.PrefetchEntry(ids[u + kEntryAhead]);
    }
    batch->entries[u] = entries_.Find(ids[u]);
  }
}

CacheCore::Entry CacheCore::PinNew(RowId id) {
  const Entry entry = entries_.Insert(id);
  ++entries_[entry].pins;
  return entry;
}

void CacheCore::Open(std::shared_ptr<Batch> batch) {
  for (const Entry entry : batch->entries) ++entries_[entry].open_lookups;
  batch->open = true;
  open_lookups_.push_back(std::move(batch));
  if (open_lookups_.size() <= kMaxOpenLookups) return;
  Close(open_lookups_.front().get());
  open_lookups_.pop_front();
  EvictOverflow();
}

void CacheCore::CloseLookups() {
  for (const auto& batch : open_lookups_) Close(batch.get());
  open_lookups_.clear();
}

void CacheCore::Close(Batch* batch) {
  batch->open = false;
  for (std::size_t u = 0; u < batch->entries.size(); ++u) {
    PrefetchStates(*batch, u);
    const Entry entry = batch->entries[u];
    EntryState& state = entries_[entry];
    if (--state.open_lookups == 0 && state.pins == 0) Retire(entry);
  }
}

void CacheCore::Retire(Entry entry) {
  EntryState& state = entries_[entry];
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

void CacheCore::NoteWrite(Entry entry, float learning_rate) {
  EntryState& state = entries_[entry];
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

// --- The loops over whole rows. The threads that share one write different
// --- rows; the lock is the caller's for all of them. --------------------------

void CacheCore::CopyRows(const Batch& batch, Span<const LookupPart> parts) {
  const std::size_t bytes = dimension() * sizeof(float);
  const std::uint32_t* inverse = batch.unique.inverse().data();
  for (const LookupPart& part : parts) {
    ParallelFor(
        executor_, part.ids.size(), kBytesPerThread / bytes + 1,
        [&](std::size_t begin, std::size_t end) HET_NO_THREAD_SAFETY_ANALYSIS {
          for (std::size_t i = begin; i < end; ++i) {
            const std::size_t ahead = i + kRowsAhead;
            if (ahead < end) {
              PrefetchRow(entries_.values(batch.entries[inverse[ahead]]),
                          bytes);
            }
            std::memcpy(part.rows + i * dimension(),
                        entries_.values(batch.entries[inverse[i]]), bytes);
          }
        });
    inverse += part.ids.size();
  }
}

void CacheCore::WriteRows(const Batch& batch, const float* gradients,
                          float learning_rate, float scale) {
  const BatchGradients all{gradients, batch.unique.positions().data(),
                           dimension(), scale};
  const std::size_t bytes = 4 * dimension() * sizeof(float);
  ParallelFor(
      executor_, batch.entries.size(), kBytesPerThread / bytes + 1,
      [&](std::size_t begin, std::size_t end) HET_NO_THREAD_SAFETY_ANALYSIS {
        std::vector<float> sum(dimension());
        for (std::size_t u = begin; u < end; ++u) {
          const Entry entry = batch.entries[u];
          if (u + kRowsAhead < end) {
            PrefetchRow(entries_.values(batch.entries[u + kRowsAhead]),
                        2 * dimension() * sizeof(float));
          }
          SumOccurrences(all, batch.unique.begin(u), batch.unique.begin(u + 1),
                         sum.data());
          const float step =
              linear_ ? learning_rate
                      : learning_rate * entries_[entry].step_scale;
          ApplyStep(sum.data(), dimension(), linear_ ? learning_rate : 1.0f,
                    step, entries_.values(entry), entries_.pending(entry));
        }
      });
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
