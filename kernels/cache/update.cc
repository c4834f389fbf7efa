#include "kernels/cache/update.h"

#include <utility>

namespace het {

Update::Update(Span<const RowId> ids, const float* gradients,
               std::size_t dimension, float learning_rate, float scale,
               std::function<void(Status)> done)
    : Operation(std::move(done)), learning_rate_(learning_rate) {
  unique_.Assign(ids);
  gradients_.resize(unique_.ids().size() * dimension);
  const float* gradient = gradients;
  for (const std::uint32_t u : unique_.inverse()) {
    float* sum = &gradients_[u * dimension];
    for (std::size_t d = 0; d < dimension; ++d) sum[d] += gradient[d];
    gradient += dimension;
  }
  if (scale != 1.0f) {
    for (float& value : gradients_) value *= scale;
  }
}

bool Update::Advance(CacheCore& core) {
  if (stage_ == Stage::kCommit) {
    Commit(core);
    stage_ = Stage::kAfterFetch;
    if (waits_for > 0) return false;
  }
  if (stage_ == Stage::kAfterFetch) {
    if (core.options().staleness > 0 && core.options().capacity > 0) {
      Release(core);
      return true;
    }
    if (!PushWritten(core)) return false;
    stage_ = Stage::kPushed;
    if (waits_for > 0) return false;
  }
  return true;
}

void Update::Commit(CacheCore& core) {
  core.BeginCommit();
  Flights flights;
  entries_.reserve(unique_.ids().size());
  for (std::size_t u = 0; u < unique_.ids().size(); ++u) {
    const RowId id = unique_.ids()[u];
    Entries::Entry entry = core.Pin(id);
    if (entry == Entries::kNone) {
      entry = core.PinNew(id);
      core.Fetch(entry, core.Room(&flights));
    }
    core.state(entry).transient = false;
    core.Write(entry, &gradients_[u * core.dimension()], learning_rate_);
    entries_.push_back(entry);
  }
  core.CloseLookups();
  if (!flights.empty()) {
    core.SendWithDue(std::move(flights), shared_from_this());
  }
}

bool Update::PushWritten(CacheCore& core) {
  bool waiting = false;
  for (const Entries::Entry entry : entries_) {
    if (core.state(entry).pending_commits > 0 &&
        core.Join(entry, shared_from_this())) {
      waiting = true;
    }
  }
  if (waiting) return false;
  Flights flights;
  for (const Entries::Entry entry : entries_) {
    if (core.state(entry).pending_commits == 0) continue;
    core.Push(entry, core.Room(&flights));
  }
  Release(core);
  core.SendWithDue(std::move(flights), shared_from_this());
  // Another operation may have pushed what this one wrote.
  core.JoinAllSent(shared_from_this());
  return true;
}

void Update::Release(CacheCore& core) {
  for (const Entries::Entry entry : entries_) core.Unpin(entry);
  core.EvictOverflow();
}

}  // namespace het
