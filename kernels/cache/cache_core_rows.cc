// CacheCore's rows: who uses them, what is evicted, reading and writing.

#include <algorithm>
#include <utility>

#include "kernels/cache/cache_core.h"
#include "kernels/consistency/staleness.h"

namespace het {
namespace {

// What a thread has to have to do to be worth waking.
constexpr std::size_t kBytesPerThread = std::size_t{64} << 10;

// The same in rows, where a row is its index and its state.
constexpr std::size_t kRowsPerThread = 512;

// How far ahead a loop over rows brings them near.
constexpr std::size_t kRowsAhead = 16;

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
  const std::vector<RowId>& ids = batch->unique.ids();
  batch->entries.resize(ids.size());
  ParallelFor(
      executor_, ids.size(), kRowsPerThread,
      [&](std::size_t begin, std::size_t end) HET_NO_THREAD_SAFETY_ANALYSIS {
        entries_.FindEach(ids, begin, end, [&](std::size_t u, Entry entry) {
          batch->entries[u] = entry;
        });
      });
}

void CacheCore::PinValid(Batch* batch, bool found) {
  const std::vector<RowId>& ids = batch->unique.ids();
  std::vector<Entry>& entries = batch->entries;
  entries.resize(ids.size());
  batch->rest.clear();
  struct Pinned {
    CacheStats hits;
    std::int64_t no_longer_idle = 0;
    std::vector<std::uint32_t> rest;
  };
  ParallelCollect<Pinned>(
      executor_, ids.size(), kRowsPerThread,
      [&](std::size_t begin, std::size_t end,
          Pinned* pinned) HET_NO_THREAD_SAFETY_ANALYSIS {
        const auto pin = [&](std::size_t u, Entry entry)
                             HET_NO_THREAD_SAFETY_ANALYSIS {
          entries[u] = entry;
          if (entry == Entries::kNone || entries_[entry].flight != 0 ||
              MustFetch(entry)) {
            pinned->rest.push_back(static_cast<std::uint32_t>(u));
            return;
          }
          EntryState& state = entries_[entry];
          if (state.pins++ == 0) ++pinned->no_longer_idle;
          state.transient = false;
          CountHit(state, &pinned->hits);
        };
        if (!found) {
          entries_.FindEach(ids, begin, end, pin);
          return;
        }
        for (std::size_t u = begin; u < end; ++u) {
          PrefetchStates(entries, u);
          pin(u, entries[u]);
        }
      },
      [&](const Pinned* pinned) HET_NO_THREAD_SAFETY_ANALYSIS {
        batch->rest.insert(batch->rest.end(), pinned->rest.begin(),
                           pinned->rest.end());
        idle_ -= pinned->no_longer_idle;
        counts.hits += pinned->hits.hits;
        for (std::size_t b = 0; b < pinned->hits.staleness.size(); ++b) {
          counts.staleness[b] += pinned->hits.staleness[b];
        }
      });
}

CacheCore::Entry CacheCore::PinNew(RowId id) {
  const Entry entry = entries_.Insert(id);
  entries_[entry].pins = 1;
  return entry;
}

void CacheCore::Unpin(Entry entry) {
  if (--entries_[entry].pins > 0 || DropIfUnwanted(entry)) return;
  ++idle_;
  policy_->Use(Span<const Entry>(&entry, 1));
}

void CacheCore::UnpinAll(const Batch& batch) {
  ParallelCollect<std::vector<Entry>>(
      executor_, batch.entries.size(), kRowsPerThread,
      [&](std::size_t begin, std::size_t end,
          std::vector<Entry>* unused) HET_NO_THREAD_SAFETY_ANALYSIS {
        for (std::size_t u = begin; u < end; ++u) {
          PrefetchStates(batch.entries, u);
          const Entry entry = batch.entries[u];
          if (--entries_[entry].pins == 0) unused->push_back(entry);
        }
      },
      [&](std::vector<Entry>* unused) HET_NO_THREAD_SAFETY_ANALYSIS {
        const auto dropped = [this](Entry entry)
                                 HET_NO_THREAD_SAFETY_ANALYSIS {
                                   return DropIfUnwanted(entry);
                                 };
        unused->erase(std::remove_if(unused->begin(), unused->end(), dropped),
                      unused->end());
        Idle(*unused);
      });
}

void CacheCore::Idle(const std::vector<Entry>& unused) {
  idle_ += static_cast<std::int64_t>(unused.size());
  policy_->Use(unused);
}

void CacheCore::Open(std::shared_ptr<Batch> batch) {
  batch->open = true;
  open_lookups_.push_back(std::move(batch));
  if (open_lookups_.size() <= kMaxOpenLookups) return;
  Close(open_lookups_.front().get());
  open_lookups_.pop_front();
}

bool CacheCore::TakeOver(Batch* batch) {
  if (!batch->open) return false;
  batch->open = false;
  open_lookups_.erase(std::find_if(
      open_lookups_.begin(), open_lookups_.end(),
      [batch](const auto& open) { return open.get() == batch; }));
  return true;
}

void CacheCore::CloseLookups() {
  for (const auto& batch : open_lookups_) Close(batch.get());
  open_lookups_.clear();
}

void CacheCore::Close(Batch* batch) {
  batch->open = false;
  UnpinAll(*batch);
}

bool CacheCore::DropIfUnwanted(Entry entry) {
  if (options_.capacity > 0 && !entries_[entry].transient) return false;
  policy_->Forget(entry);
  Drop(entry);
  return true;
}

void CacheCore::EvictOverflow() {
  if (idle_ <= options_.capacity) return;
  std::vector<Entry> evicted;
  evicted.reserve(static_cast<std::size_t>(idle_ - options_.capacity));
  while (idle_ > options_.capacity) {
    const Entry entry = policy_->Next();
    if (entries_[entry].pins > 0) continue;  // its next use takes it in again
    --idle_;
    evicted.push_back(entry);
  }
  counts.evictions += static_cast<std::int64_t>(evicted.size());
  for (std::size_t i = 0; i < evicted.size(); ++i) {
    if (i + 2 * kRowsAhead < evicted.size()) {
      entries_.PrefetchState(evicted[i + 2 * kRowsAhead]);
      entries_.PrefetchErase(evicted[i + kRowsAhead]);
      PrefetchRow(entries_.pending(evicted[i + kRowsAhead]), dimension());
    }
    policy_->Forget(evicted[i]);
    Drop(evicted[i]);
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
    OutboxBatch()->Append(state.id, state.clocks().current,
                          linear_ ? 1.0f : entries_.step(entry).learning_rate,
                          entries_.pending(entry), dimension());
  }
  entries_.Erase(entry);
}

// --- Reading and writing. ---------------------------------------------------

bool CacheCore::WriteStalenessUsedUp(Entry entry) const {
  return !WithinWriteStaleness(entries_[entry].clocks(), options_.staleness);
}

bool CacheCore::WillLandUsedUp(Entry entry) const {
  const EntryState& state = entries_[entry];
  if (state.outdated) return true;
  const CopyClocks landed =
      state.fetching ? ClocksAfterFetch(state.start,
                                        state.pending_commits)
                     : state.clocks();
  return !WithinWriteStaleness(landed, options_.staleness);
}

void CacheCore::CountHit(const EntryState& state, CacheStats* counts) {
  ++counts->hits;
  const std::uint32_t staleness = state.written;
  const int bucket = staleness == 0 ? 0 : 32 - __builtin_clz(staleness);
  ++counts->staleness[static_cast<std::size_t>(
      std::min(bucket, CacheStats::kStalenessBuckets - 1))];
}

void CacheCore::BeginCommit() {
  ++commit_;
  ++counts.updates;
  UnstageOld();
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
          const float* ahead[kRowsAhead];  // the rows of positions from i on
          const auto prefetch = [&](std::size_t i)
                                    HET_NO_THREAD_SAFETY_ANALYSIS {
            if (i >= end) return;
            const float* row = entries_.values(batch.entries[inverse[i]]);
            ahead[i % kRowsAhead] = row;
            PrefetchRow(row, dimension());
          };
          for (std::size_t i = begin; i < begin + kRowsAhead; ++i) prefetch(i);
          for (std::size_t i = begin; i < end; ++i) {
            const float* const row = ahead[i % kRowsAhead];
            prefetch(i + kRowsAhead);
            CopyRow(row, dimension(), part.rows + i * dimension());
          }
        });
    inverse += part.ids.size();
  }
}

void CacheCore::CopyDistinctRows(const Batch& batch, float* rows) {
  const std::size_t bytes = dimension() * sizeof(float);
  ParallelFor(
      executor_, batch.entries.size(), kBytesPerThread / bytes + 1,
      [&](std::size_t begin, std::size_t end) HET_NO_THREAD_SAFETY_ANALYSIS {
        for (std::size_t u = begin; u < end; ++u) {
          if (u + kRowsAhead < end) {
            PrefetchRow(entries_.values(batch.entries[u + kRowsAhead]),
                        dimension());
          }
          CopyRow(entries_.values(batch.entries[u]), dimension(),
                  rows + u * dimension());
        }
      });
}

void CacheCore::WriteRows(const Batch& batch, const float* gradients,
                          float learning_rate, float scale, bool unpin) {
  const BatchGradients all{gradients, batch.unique.positions().data(),
                           dimension(), scale};
  const std::size_t bytes = 4 * dimension() * sizeof(float);
  struct Found {
    std::vector<Entry> dirty, due, unused;
    std::vector<Entry> used;  // of the unused, what the policy has not noted yet
  };
  ParallelCollect<Found>(
      executor_, batch.entries.size(), kBytesPerThread / bytes + 1,
      [&](std::size_t begin, std::size_t end,
          Found* found) HET_NO_THREAD_SAFETY_ANALYSIS {
        const std::uint32_t last = batch.unique.begin(end);
        for (std::size_t u = begin; u < end; ++u) {
          if (u + kRowsAhead < end) {
            const Entry ahead = batch.entries[u + kRowsAhead];
            entries_.PrefetchState(ahead);
            PrefetchRow(entries_.values(ahead), 2 * dimension());
          }
          const Entry entry = batch.entries[u];
          EntryState& state = entries_[entry];
          if (!linear_) entries_.step(entry).learning_rate = learning_rate;
          CopyClocks clocks = state.clocks();
          Tick(&clocks);
          state.set_clocks(clocks);
          if (state.pending_commits++ == 0) {
            state.dirty_since = dirty_.Since(commit_);
            found->dirty.push_back(entry);
          }
          if (!state.due && WriteStalenessUsedUp(entry)) {
            state.due = true;
            found->due.push_back(entry);
          }
          const float step =
              linear_ ? learning_rate
                      : learning_rate * entries_.step(entry).step_scale;
          ApplyOccurrences(all, batch.unique.begin(u),
                           batch.unique.begin(u + 1), last,
                           linear_ ? learning_rate : 1.0f, step,
                           entries_.values(entry), entries_.pending(entry));
          if (unpin && --state.pins == 0) found->unused.push_back(entry);
        }
        policy_->UseApart(found->unused, &found->used);
      },
      [&](const Found* found) HET_NO_THREAD_SAFETY_ANALYSIS {
        counts.pending_rows += static_cast<std::int64_t>(found->dirty.size());
        due_.insert(due_.end(), found->due.begin(), found->due.end());
        const auto unused = static_cast<std::int64_t>(found->unused.size());
        idle_ += unused;
        policy_->Use(found->used,
                     unused - static_cast<std::int64_t>(found->used.size()));
        if (!dirty_.bounded()) return;
        for (const Entry entry : found->dirty) dirty_.Note(entry);
      });
  counts.updated_rows += static_cast<std::int64_t>(batch.entries.size());
}

void CacheCore::ForgetCopies(Span<const RowId> ids) {
  MutexLock lock(&mutex);
  UnstageAll();
  for (const RowId id : ids) {
    const Entry entry = entries_.Find(id);
    if (entry != Entries::kNone) ForgetCopy(entry);
  }
}

Status CacheCore::ForgetAll() {
  MutexLock lock(&mutex);
  if (counts.pending_rows > 0) {
    return FailedPrecondition("table '", table_.name, "': updates of ",
                              counts.pending_rows, " rows are pending: flush "
                              "before the copies are forgotten");
  }
  UnstageAll();
  for (Entry entry = 0; entry < entries_.end(); ++entry) {
    if (entries_[entry].occupied) ForgetCopy(entry);
  }
  return OkStatus();
}

void CacheCore::ForgetCopy(Entry entry) {
  if (entries_[entry].pins > 0) {
    // In use: a fetch that is under way may be older than the new values.
    entries_[entry].outdated = true;
    return;
  }
  policy_->Forget(entry);
  --idle_;
  Drop(entry);
}

}  // namespace het
