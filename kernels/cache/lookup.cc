#include "kernels/cache/lookup.h"

#include <numeric>
#include <utility>

namespace het {

Lookup::Lookup(std::shared_ptr<Batch> batch, Span<const LookupPart> parts,
               ReadMode mode, std::function<void(Status)> done)
    : Operation(std::move(done)),
      batch_(std::move(batch)),
      parts_(parts.begin(), parts.end()),
      mode_(mode) {}

bool Lookup::Advance(CacheCore& core) {
  if (!classified_) {
    if (!Find(core)) return false;
    Classify(core);
    classified_ = true;
    if (waits_for > 0) return false;
  }
  Gather(core);
  return true;
}

bool Lookup::Find(CacheCore& core) {
  core.FindAll(batch_.get());
  if (!core.AnyUnderWay()) return true;
  // What is under way answers an older question for a fresh read, and for a
  // copy that own commits have used up meanwhile: wait, then ask.
  bool waiting = false;
  for (const Entries::Entry entry : batch_->entries) {
    if (entry != Entries::kNone && core.state(entry).flight != 0 &&
        (mode_ == ReadMode::kFresh || core.WillLandUsedUp(entry)) &&
        core.Join(entry, shared_from_this())) {
      waiting = true;
    }
  }
  return !waiting;
}

void Lookup::Classify(CacheCore& core) {
  const bool fresh = mode_ == ReadMode::kFresh;
  const bool cached = core.options().capacity > 0;
  Flights flights;
  CacheStats uncounted;
  CacheStats& counts = fresh ? uncounted : core.counts;
  ++counts.lookups;
  counts.ids += static_cast<std::int64_t>(batch_->unique.inverse().size());
  counts.unique_ids += static_cast<std::int64_t>(batch_->entries.size());
  std::vector<std::uint32_t> rest;
  if (!fresh && cached && core.NeverValidated()) {
    core.PinValid(*batch_, &rest);
  } else {
    rest.resize(batch_->entries.size());
    std::iota(rest.begin(), rest.end(), 0);
  }
  for (std::size_t k = 0; k < rest.size(); ++k) {
    const std::size_t u = rest[k];
    core.PrefetchStates(*batch_, u);
    Entries::Entry& entry = batch_->entries[u];
    if (entry == Entries::kNone) {
      entry = core.PinNew(batch_->unique.ids()[u]);
      core.state(entry).transient = fresh;
      core.Fetch(entry, core.Room(&flights));
      ++counts.misses;
      continue;
    }
    core.Pin(entry);
    EntryState& state = core.state(entry);
    if (state.flight != 0) {
      core.Join(entry, shared_from_this());
      state.transient = false;
      core.CountHit(entry);
      continue;
    }
    if (!fresh) state.transient = false;
    if (fresh || !cached) {
      core.Fetch(entry, core.Room(&flights));
      ++counts.misses;
    } else if (core.MustFetch(entry)) {
      Flight* const flight = core.Room(&flights);
      if (state.pending_commits > 0) core.Push(entry, flight);
      core.Fetch(entry, flight);
      ++counts.invalid;
    } else {
      core.Validate(entry, core.Room(&flights));
    }
  }
  core.SendWithDue(std::move(flights), shared_from_this());
}

void Lookup::Gather(CacheCore& core) {
  core.CopyRows(*batch_, parts_);
  if (mode_ == ReadMode::kTraining) {
    core.Open(batch_);
  } else {
    core.UnpinAll(*batch_);
  }
  core.EvictOverflow();
}

}  // namespace het
