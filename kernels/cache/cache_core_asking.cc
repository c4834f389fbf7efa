// CacheCore's questions to the store: what a batch has to ask, for a lookup that
// waits for the answer or for one that comes later.

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/cache/cache_core.h"
#include "kernels/consistency/staleness.h"

namespace het {

bool CacheCore::Find(Batch* batch, ReadMode mode,
                     const std::shared_ptr<Operation>& operation) {
  const bool pins = mode != ReadMode::kFresh && options_.capacity > 0 &&
                    NeverValidated();
  if (pins && !AnyUnderWay()) {
    PinValid(batch, /*found=*/false);
    return true;
  }
  FindAll(batch);
  // What is under way answers an older question for a fresh read, and for a
  // copy that own commits have used up meanwhile: wait, then ask.
  bool waiting = false;
  for (const Entry entry : batch->entries) {
    if (entry != Entries::kNone && state(entry).flight != 0 &&
        (mode == ReadMode::kFresh || WillLandUsedUp(entry)) &&
        Join(entry, operation)) {
      waiting = true;
    }
  }
  if (waiting) return false;
  if (pins) {
    PinValid(batch, /*found=*/true);
  } else {
    batch->rest.resize(batch->entries.size());
    std::iota(batch->rest.begin(), batch->rest.end(), 0);
  }
  return true;
}

void CacheCore::Ask(Batch* batch, ReadMode mode, Flights* flights,
                    const std::shared_ptr<Operation>& operation) {
  const bool fresh = mode == ReadMode::kFresh;
  const bool cached = options_.capacity > 0;
  CacheStats uncounted;
  CacheStats& counted = fresh ? uncounted : counts;
  ++counted.lookups;
  counted.ids += static_cast<std::int64_t>(batch->unique.inverse().size());
  counted.unique_ids += static_cast<std::int64_t>(batch->entries.size());
  for (const std::uint32_t u : batch->rest) {
    PrefetchStates(batch->entries, u);
    Entry& entry = batch->entries[u];
    if (entry == Entries::kNone) {
      entry = PinNew(batch->unique.ids()[u]);
      state(entry).transient = fresh;
      Fetch(entry, Room(flights));
      ++counted.misses;
      continue;
    }
    Pin(entry);
    EntryState& now = state(entry);
    if (now.flight != 0) {
      if (operation != nullptr) Join(entry, operation);
      now.transient = false;
      CountHit(entry);
      continue;
    }
    if (!fresh) now.transient = false;
    if (fresh || !cached) {
      Fetch(entry, Room(flights));
      ++counted.misses;
    } else if (MustFetch(entry)) {
      Flight* const flight = Room(flights);
      if (now.pending_commits > 0) Push(entry, flight);
      Fetch(entry, flight);
      ++counted.invalid;
    } else {
      Validate(entry, Room(flights));
    }
  }
}

// --- Ahead. -----------------------------------------------------------------

void CacheCore::Stage(std::shared_ptr<Batch> batch, int ahead,
                      std::size_t most) {
  batch->staged = true;
  batch->ahead = ahead;
  batch->staged_at = commit_;
  batch->last_flight = last_number_;
  staged_.push_back(std::move(batch));
  if (staged_.size() <= most) return;
  for (; staged_.size() > most; staged_.pop_front()) {
    Unstage(staged_.front().get());
  }
  EvictOverflow();
}

std::shared_ptr<Batch> CacheCore::ClaimStaged(Span<const LookupPart> parts) {
  std::size_t size = 0;
  for (const LookupPart& part : parts) size += part.ids.size();
  std::vector<std::shared_ptr<Batch>> candidates;
  {
    MutexLock lock(&mutex);
    for (const auto& batch : staged_) {
      if (batch->unique.inverse().size() == size) candidates.push_back(batch);
    }
  }
  for (auto& batch : candidates) {
    std::size_t position = 0;
    bool same = true;
    for (const LookupPart& part : parts) {
      same = same && batch->unique.Has(part.ids, position);
      position += part.ids.size();
    }
    if (!same) continue;
    MutexLock lock(&mutex);
    const auto place = std::find(staged_.begin(), staged_.end(), batch);
    if (place == staged_.end()) continue;  // claimed or let go meanwhile
    staged_.erase(place);
    return std::move(batch);
  }
  return nullptr;
}

bool CacheCore::IsFresh(const Batch& batch) const {
  return WithinLookahead(commit_ - batch.staged_at, batch.ahead);
}

void CacheCore::Unstage(Batch* batch) {
  batch->staged = false;
  const auto in_flight = [this](Entry entry) HET_NO_THREAD_SAFETY_ANALYSIS {
    const std::uint16_t slot = entries_[entry].flight;
    if (slot == 0) return false;
    // It writes the row when it lands: the pin is its own from now on.
    slots_[slot]->unused.push_back(entry);
    return true;
  };
  std::vector<Entry>& entries = batch->entries;
  entries.erase(std::remove_if(entries.begin(), entries.end(), in_flight),
                entries.end());
  UnpinAll(*batch);
}

void CacheCore::UnstageAll() {
  for (const auto& batch : staged_) Unstage(batch.get());
  staged_.clear();
}

void CacheCore::UnstageOld() {
  const auto old = [this](const std::shared_ptr<Batch>& batch)
                       HET_NO_THREAD_SAFETY_ANALYSIS {
    if (IsFresh(*batch)) return false;
    Unstage(batch.get());
    return true;
  };
  staged_.erase(std::remove_if(staged_.begin(), staged_.end(), old),
                staged_.end());
}

Status CacheCore::CheckReply(const Flight& flight,
                             const ExchangeReply& reply) const {
  if (reply.tables.size() != 1) {
    return Internal("the reply is about ", reply.tables.size(),
                    " tables, expected 1");
  }
  const TableReply& rows = reply.tables[0];
  if (rows.fetched.size() != flight.fetch_ids.size() ||
      rows.validated.size() != flight.validate_ids.size()) {
    return Internal("the reply has ", rows.fetched.size(), " rows fetched and ",
                    rows.validated.size(), " validated, expected ",
                    flight.fetch_ids.size(), " and ",
                    flight.validate_ids.size());
  }
  if (rows.dimension != dimension() && rows.dimension != 0) {
    return Internal("the reply has rows of dimension ", rows.dimension,
                    ", expected ", dimension());
  }
  return OkStatus();
}

void CacheCore::FillInitialRows(const Flight& flight,
                                ExchangeReply* reply) const {
  TableReply& rows = reply->tables[0];
  const auto count = [](const std::vector<RowView>& views) {
    return std::count_if(views.begin(), views.end(),
                         [](const RowView& row) { return row.initial; });
  };
  const auto initial =
      static_cast<std::size_t>(count(rows.fetched) + count(rows.validated));
  if (initial == 0) return;
  const std::shared_ptr<float[]> values(new float[initial * dimension()]);
  float* next = values.get();
  const auto fill = [&](const std::vector<RowId>& ids,
                        std::vector<RowView>* views) {
    for (std::size_t i = 0; i < views->size(); ++i) {
      if (!(*views)[i].initial) continue;
      initializer_->Fill(table_id_, ids[i], dimension(), next);
      (*views)[i].values = next;
      next += dimension();
    }
  };
  fill(flight.fetch_ids, &rows.fetched);
  fill(flight.validate_ids, &rows.validated);
  reply->buffers.push_back(values);
}

}  // namespace het
