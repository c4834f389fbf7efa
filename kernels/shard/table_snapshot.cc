// Table's snapshots: what a cut marks, and what is kept of rows that change before
// they are written.

#include <utility>

#include "kernels/shard/table.h"

namespace het {

bool Table::Cut(bool all, KeptRows* kept) {
  scan_ = 0;
  kept_ = kept;
  for (const auto& stripe : stripes_) {
    MutexLock lock(&stripe->mutex);
    Close(*stripe);
    // Of a table that came after the last cut there is nothing to build on.
    all = all || !stripe->marks.cut_before();
  }
  newest_round_ = 0;
  for (const auto& stripe : stripes_) {
    MutexLock lock(&stripe->mutex);
    stripe->marks.Cut(stripe->rows, all);
  }
  return all;
}

Table::Row* Table::RowToWrite(Stripe& stripe, std::uint32_t number) const {
  Row* row = RowAt(stripe, number);
  if (stripe.marks.Touch(number) && !kept_->overrun()) {
    AppendRow(stripe, row, &stripe.kept);
    kept_->Add(row_bytes_);
  }
  return row;
}

void Table::AppendRow(const Stripe& stripe, Row* row, RowBlock* block) const {
  block->Append(row->id(), ClockOf(stripe, row), {row->values(), dimension_},
                {row->values() + dimension_, slots_});
}

bool Table::TakeMarked(RowBlock* block, std::size_t most_bytes) {
  block->clear();
  while (scan_ < kStripes && block->bytes() < most_bytes) {
    Stripe& stripe = *stripes_[scan_];
    MutexLock lock(&stripe.mutex);
    while (block->bytes() < most_bytes) {
      const std::size_t number = stripe.marks.TakeNext();
      if (number == SnapshotMarks::kNone) {
        ++scan_;
        break;
      }
      AppendRow(stripe, RowAt(stripe, number), block);
    }
  }
  return !block->empty();
}

bool Table::TakeKept(RowBlock* block) {
  for (const auto& stripe : stripes_) {
    MutexLock lock(&stripe->mutex);
    if (stripe->kept.empty()) continue;
    std::swap(*block, stripe->kept);
    stripe->kept = RowBlock();
    kept_->Remove(block->ids.size() * row_bytes_);
    return true;
  }
  return false;
}

void Table::EndSnapshot() {
  for (const auto& stripe : stripes_) {
    MutexLock lock(&stripe->mutex);
    kept_->Remove(stripe->kept.ids.size() * row_bytes_);
    stripe->kept = RowBlock();
    stripe->marks.Forget();
  }
}

}  // namespace het
