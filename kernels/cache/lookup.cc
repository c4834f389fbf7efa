#include "kernels/cache/lookup.h"

#include <utility>

namespace het {

Lookup::Lookup(std::shared_ptr<Batch> batch, Span<const LookupPart> parts,
               ReadMode mode, std::function<void(Status)> done,
               float* distinct_rows)
    : Operation(std::move(done)),
      batch_(std::move(batch)),
      parts_(parts.begin(), parts.end()),
      mode_(mode),
      distinct_rows_(distinct_rows) {}

bool Lookup::Advance(CacheCore& core) {
  if (!asked_) {
    if (batch_->staged && !TakeOver(core)) core.Unstage(batch_.get());
    if (!asked_ && !Ask(core)) return false;
    if (waits_for > 0) return false;
  }
  Gather(core);
  return true;
}

bool Lookup::TakeOver(CacheCore& core) {
  if (!core.IsFresh(*batch_)) return false;
  batch_->staged = false;
  ++core.counts.prefetched;
  // Not for those made since: a row that a later prefetch validates or renews
  // is as good as it was.
  core.JoinSent(batch_->last_flight, shared_from_this());
  asked_ = true;
  return true;
}

bool Lookup::Ask(CacheCore& core) {
  if (!core.Find(batch_.get(), mode_, shared_from_this())) return false;
  Flights flights;
  core.Ask(batch_.get(), mode_, &flights, shared_from_this());
  core.SendWithDue(std::move(flights), shared_from_this());
  asked_ = true;
  return true;
}

void Lookup::Gather(CacheCore& core) {
  if (distinct_rows_ == nullptr) {
    core.CopyRows(*batch_, parts_);
  } else {
    core.CopyDistinctRows(*batch_, distinct_rows_);
  }
  if (mode_ == ReadMode::kTraining) {
    core.Open(batch_);
  } else {
    core.UnpinAll(*batch_);
  }
  core.EvictOverflow();
}

}  // namespace het
