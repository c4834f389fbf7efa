#include "kernels/cache/lookup.h"

#include <cstring>
#include <utility>

namespace het {

Lookup::Lookup(Span<const RowId> ids, ReadMode mode, float* rows,
               std::function<void(Status)> done)
    : Operation(std::move(done)), mode_(mode), rows_(rows) {
  unique_.Assign(ids);
}

bool Lookup::Advance(CacheCore& core) {
  if (!classified_) {
    if (!Classify(core)) return false;
    classified_ = true;
    if (waits_for > 0) return false;
  }
  Gather(core);
  return true;
}

bool Lookup::Classify(CacheCore& core) {
  const bool fresh = mode_ == ReadMode::kFresh;
  // What is under way answers an older question for a fresh read, and for a
  // copy that own commits have used up meanwhile: wait, then ask.
  bool waiting = false;
  for (const RowId id : unique_.ids()) {
    const Entries::Entry entry = core.Find(id);
    if (entry != Entries::kNone &&
        (fresh || core.WillLandUsedUp(entry)) &&
        core.Join(entry, shared_from_this())) {
      waiting = true;
    }
  }
  if (waiting) return false;

  const bool cached = core.options().capacity > 0;
  Flights flights;
  CacheStats uncounted;
  CacheStats& counts = fresh ? uncounted : core.counts;
  ++counts.lookups;
  counts.ids += static_cast<std::int64_t>(unique_.inverse().size());
  counts.unique_ids += static_cast<std::int64_t>(unique_.ids().size());
  entries_.reserve(unique_.ids().size());
  for (const RowId id : unique_.ids()) {
    Flight* const flight = core.Room(&flights);
    Entries::Entry entry = core.Pin(id);
    if (entry == Entries::kNone) {
      entry = core.PinNew(id);
      core.state(entry).transient = fresh;
      core.Fetch(entry, flight);
      ++counts.misses;
    } else if (core.Join(entry, shared_from_this())) {
      core.state(entry).transient = false;
      core.CountHit(entry);
    } else {
      if (!fresh) core.state(entry).transient = false;
      if (fresh || !cached) {
        core.Fetch(entry, flight);
        ++counts.misses;
      } else if (core.MustFetch(entry)) {
        if (core.state(entry).pending_commits > 0) core.Push(entry, flight);
        core.Fetch(entry, flight);
        ++counts.invalid;
      } else if (core.NeverValidated()) {
        core.CountHit(entry);
      } else {
        core.Validate(entry, flight);
      }
    }
    entries_.push_back(entry);
  }
  if (mode_ == ReadMode::kTraining) core.Open(entries_);
  if (!flights.empty() && flights.front()->empty()) flights.clear();  // all hits
  core.SendWithDue(std::move(flights), shared_from_this());
  return true;
}

void Lookup::Gather(CacheCore& core) {
  const std::size_t bytes = core.dimension() * sizeof(float);
  float* row = rows_;
  for (const std::uint32_t u : unique_.inverse()) {
    std::memcpy(row, core.values(entries_[u]), bytes);
    row += core.dimension();
  }
  for (const Entries::Entry entry : entries_) core.Unpin(entry);
  core.EvictOverflow();
}

}  // namespace het
