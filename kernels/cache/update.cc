#include "kernels/cache/update.h"

#include <utility>

namespace het {

Update::Update(std::shared_ptr<Batch> batch, const float* gradients,
               float learning_rate, float scale,
               std::function<void(Status)> done)
    : Operation(std::move(done)),
      batch_(std::move(batch)),
      gradients_(gradients),
      learning_rate_(learning_rate),
      scale_(scale) {}

bool Update::Stays(const CacheCore& core) {
  return core.options().staleness > 0 && core.options().capacity > 0;
}

bool Update::Advance(CacheCore& core) {
  if (stage_ == Stage::kCommit) {
    Commit(core);
    stage_ = Stage::kAfterFetch;
    if (waits_for > 0) return false;
  }
  if (stage_ == Stage::kAfterFetch) {
    if (Stays(core)) {
      if (!released_) core.UnpinAll(*batch_);
      core.EvictOverflow();
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
  // The rows of an open lookup are where it found them, and pinned.
  if (!core.TakeOver(batch_.get())) {
    core.FindAll(batch_.get());
    for (std::size_t u = 0; u < batch_->entries.size(); ++u) {
      core.PrefetchStates(batch_->entries, u);
      Entries::Entry& entry = batch_->entries[u];
      if (entry == Entries::kNone) {
        entry = core.PinNew(batch_->unique.ids()[u]);
        core.Fetch(entry, core.Room(&flights));
      } else {
        core.Pin(entry);
      }
      core.state(entry).transient = false;
    }
  }
  // Rows of a training lookup, or made for an update, stay when they are unused.
  released_ = Stays(core) && flights.empty();
  core.WriteRows(*batch_, gradients_, learning_rate_, scale_, released_);
  core.CloseLookups();
  for (const auto& flight : flights) flight->round = core.Round();
  if (!flights.empty()) {
    core.SendWithDue(std::move(flights), shared_from_this());
  }
}

bool Update::PushWritten(CacheCore& core) {
  bool waiting = false;
  for (const Entries::Entry entry : batch_->entries) {
    if (core.state(entry).pending_commits > 0 &&
        core.Join(entry, shared_from_this())) {
      waiting = true;
    }
  }
  if (waiting) return false;
  Flights flights;
  for (const Entries::Entry entry : batch_->entries) {
    if (core.state(entry).pending_commits == 0) continue;
    core.Push(entry, core.Room(&flights));
  }
  for (const auto& flight : flights) flight->round = core.Round();
  core.UnpinAll(*batch_);
  core.EvictOverflow();
  core.SendWithDue(std::move(flights), shared_from_this());
  // Another operation may have pushed what this one wrote.
  core.JoinAllSent(shared_from_this());
  return true;
}

}  // namespace het
