#include "kernels/shard/table.h"

#include <cstring>
#include <new>
#include <utility>

#include "kernels/base/hash.h"
#include "kernels/consistency/staleness.h"

namespace het {
namespace {

// The router takes Mix64(id) to place a row on a shard; a table hashes once
// more, so that the rows of one shard do not crowd in some of its stripes.
std::uint64_t HashId(RowId id) {
  return Mix64(Mix64(static_cast<std::uint64_t>(id)) + 0x9e3779b97f4a7c15ULL);
}

std::uint32_t Tag(std::uint64_t hash) {
  return static_cast<std::uint32_t>(hash >> 32);
}

}  // namespace

Result<std::unique_ptr<Table>> Table::Create(const TableSpec& spec) {
  HET_RETURN_IF_ERROR(Validate(spec));
  auto initializer = CreateInitializer(spec.initializer, spec.seed);
  HET_RETURN_IF_ERROR(initializer.status());
  auto optimizer = CreateOptimizer(spec.optimizer);
  HET_RETURN_IF_ERROR(optimizer.status());
  return std::unique_ptr<Table>(new Table(spec, std::move(initializer).Take(),
                                          std::move(optimizer).Take()));
}

Table::Table(const TableSpec& spec,
             std::unique_ptr<const Initializer> initializer,
             std::unique_ptr<const Optimizer> optimizer)
    : spec_(spec),
      id_(spec.id()),
      dimension_(spec.dimension),
      initializer_(std::move(initializer)),
      optimizer_(std::move(optimizer)),
      slots_(optimizer_->SlotCount(spec.dimension)),
      row_bytes_((sizeof(Row) + (dimension_ + slots_) * sizeof(float) +
                  alignof(Row) - 1) /
                 alignof(Row) * alignof(Row)) {
  std::vector<float> slots(slots_);
  optimizer_->InitializeSlots(dimension_, slots.data());
  initial_step_scale_ = optimizer_->StepScale(slots.data(), dimension_);
}

template <typename Visit>
void Table::ForEach(Span<const RowId> ids, Visit visit) const {
  // A counting sort by stripe: stable, so that an id pushed twice takes its
  // steps in order.
  std::array<std::uint32_t, kStripes + 1> begin = {};
  std::vector<std::uint64_t> hashes(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    hashes[i] = HashId(ids[i]);
    ++begin[(hashes[i] & (kStripes - 1)) + 1];
  }
  for (std::size_t s = 0; s < kStripes; ++s) begin[s + 1] += begin[s];
  std::vector<std::uint32_t> order(ids.size());
  std::array<std::uint32_t, kStripes + 1> next = begin;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    order[next[hashes[i] & (kStripes - 1)]++] = static_cast<std::uint32_t>(i);
  }
  for (std::size_t s = 0; s < kStripes; ++s) {
    if (begin[s] == begin[s + 1]) continue;
    Stripe& stripe = stripes_[s];
    MutexLock lock(&stripe.mutex);
    for (std::uint32_t k = begin[s]; k < begin[s + 1]; ++k) {
      visit(stripe, hashes[order[k]], std::size_t{order[k]});
    }
  }
}

void Table::Push(Span<const RowId> ids, Span<const Clock> clocks,
                 Span<const float> learning_rates,
                 Span<const float> gradients) {
  ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     Row* row = FindOrCreate(stripe, hash, ids[i]);
                     optimizer_->Step(learning_rates[i],
                                      &gradients[i * dimension_], dimension_,
                                      row->values(),
                                      row->values() + dimension_);
                     row->clock = ClockAfterPush(row->clock, clocks[i]);
                   });
}

void Table::Fetch(Span<const RowId> ids, float* values, RowView* views) const {
  ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     Copy(stripe, hash, ids[i], values + i * dimension_,
                          &views[i]);
                   });
}

void Table::FetchStale(Span<const RowId> ids, Span<const Clock> clocks,
                       Staleness staleness, float* values,
                       RowView* views) const {
  ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     const Row* row = Find(stripe, hash, ids[i]);
                     const Clock global = row == nullptr ? 0 : row->clock;
                     if (WithinReadStaleness(global, clocks[i], staleness)) {
                       views[i] = RowView{};
                     } else {
                       Copy(stripe, hash, ids[i], values + i * dimension_,
                            &views[i]);
                     }
                   });
}

void Table::Assign(Staleness staleness, Span<const RowId> ids,
                   Span<const float> rows) {
  ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     Row* row = FindOrCreate(stripe, hash, ids[i]);
                     std::memcpy(row->values(), &rows[i * dimension_],
                                 dimension_ * sizeof(float));
                     optimizer_->InitializeSlots(dimension_,
                                                 row->values() + dimension_);
                     row->clock = ClockAfterAssign(row->clock, staleness);
                   });
}

void Table::TakeRows(const Table& other) {
  for (std::size_t s = 0; s < kStripes; ++s) {
    const Stripe& from = other.stripes_[s];
    Stripe& to = stripes_[s];
    MutexLock from_lock(&from.mutex);
    MutexLock to_lock(&to.mutex);
    for (std::size_t position = 0; position < from.rows; ++position) {
      Row* old = other.RowAt(from, position);
      Row* row = FindOrCreate(to, HashId(old->id), old->id);
      std::memcpy(row->values(), old->values(), dimension_ * sizeof(float));
      row->clock = old->clock;
    }
  }
}

void Table::Copy(const Stripe& stripe, std::uint64_t hash, RowId id,
                 float* values, RowView* view) const {
  Row* row = Find(stripe, hash, id);
  if (row == nullptr) {
    *view = {nullptr, 0, initial_step_scale_, true};
    return;
  }
  std::memcpy(values, row->values(), dimension_ * sizeof(float));
  *view = {values, row->clock,
           optimizer_->StepScale(row->values() + dimension_, dimension_)};
}

Table::Row* Table::RowAt(const Stripe& stripe, std::size_t position) const {
  return reinterpret_cast<Row*>(stripe.chunks[position / kRowsPerChunk].get() +
                                position % kRowsPerChunk * row_bytes_);
}

Table::Row* Table::Find(const Stripe& stripe, std::uint64_t hash,
                        RowId id) const {
  if (stripe.buckets.empty()) return nullptr;
  const std::size_t mask = stripe.buckets.size() - 1;
  for (std::size_t b = (hash >> kStripeBits) & mask;; b = (b + 1) & mask) {
    const Bucket& bucket = stripe.buckets[b];
    if (bucket.row == 0) return nullptr;
    if (bucket.tag != Tag(hash)) continue;
    Row* row = RowAt(stripe, bucket.row - 1);
    if (row->id == id) return row;
  }
}

Table::Row* Table::FindOrCreate(Stripe& stripe, std::uint64_t hash, RowId id) {
  Row* existing = Find(stripe, hash, id);
  if (existing != nullptr) return existing;
  if (4 * (stripe.rows + 1) > 3 * stripe.buckets.size()) Grow(stripe);
  if (stripe.rows == stripe.chunks.size() * kRowsPerChunk) {
    stripe.chunks.emplace_back(new char[kRowsPerChunk * row_bytes_]);
  }
  Row* row = new (RowAt(stripe, stripe.rows)) Row{id, 0};
  initializer_->Fill(id_, id, dimension_, row->values());
  optimizer_->InitializeSlots(dimension_, row->values() + dimension_);
  ++stripe.rows;
  const std::size_t mask = stripe.buckets.size() - 1;
  std::size_t b = (hash >> kStripeBits) & mask;
  while (stripe.buckets[b].row != 0) b = (b + 1) & mask;
  stripe.buckets[b] = {Tag(hash), static_cast<std::uint32_t>(stripe.rows)};
  return row;
}

void Table::Grow(Stripe& stripe) {
  std::vector<Bucket> grown(
      stripe.buckets.empty() ? 16 : 2 * stripe.buckets.size());
  const std::size_t mask = grown.size() - 1;
  for (const Bucket& bucket : stripe.buckets) {
    if (bucket.row == 0) continue;
    std::size_t b =
        (HashId(RowAt(stripe, bucket.row - 1)->id) >> kStripeBits) & mask;
    while (grown[b].row != 0) b = (b + 1) & mask;
    grown[b] = bucket;
  }
  stripe.buckets = std::move(grown);
}

TableStats Table::stats() const {
  TableStats stats;
  stats.name = spec_.name;
  stats.dimension = dimension_;
  stats.optimizer = ToString(spec_.optimizer);
  for (const Stripe& stripe : stripes_) {
    MutexLock lock(&stripe.mutex);
    stats.rows += static_cast<std::int64_t>(stripe.rows);
    stats.memory_bytes += static_cast<std::int64_t>(
        stripe.chunks.size() * kRowsPerChunk * row_bytes_ +
        stripe.buckets.capacity() * sizeof(Bucket) + sizeof(Stripe));
  }
  return stats;
}

}  // namespace het
