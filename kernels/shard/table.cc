#include "kernels/shard/table.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "kernels/base/hash.h"
#include "kernels/base/prefetch.h"
#include "kernels/consistency/staleness.h"

namespace het {
namespace {

// The router takes Mix64(id) to place a row on a shard; a table hashes once
// more, so that the rows of one shard do not crowd in some of its stripes.
std::uint64_t HashId(RowId id) {
  return Mix64(Mix64(static_cast<std::uint64_t>(id)) + 0x9e3779b97f4a7c15ULL);
}

// Chunks are about this large, so that those begun in every stripe do not weigh.
constexpr std::size_t kChunkBytes = std::size_t{128} << 10;

int ChunkShift(std::size_t row_bytes) {
  int shift = 0;
  while ((row_bytes << (shift + 1)) <= kChunkBytes) ++shift;
  return shift;
}

// Rows of a batch whose memory is asked for at once.
constexpr std::size_t kAtOnce = 64;
// Positions of a batch that are sorted by stripe at a time: what belongs to
// them, gradients and rows of a reply, is then close together.
constexpr std::size_t kBlock = 4096;
constexpr std::size_t kLineBytes = 64;
// Of a longer row the processor fetches the rest by itself.
constexpr std::size_t kPrefetchBytes = 8 * kLineBytes;

// stripe(u) = floor(64 log2(1 + u)) for the hash as a fraction u: the share of
// stripe s is 2^(s / 64) (2^(1 / 64) - 1).
template <std::size_t kSize>
constexpr std::array<std::uint8_t, kSize> StripesByShare(int stripes) {
  constexpr double kRatio = 1.0108892860517005;  // 2^(1 / 64)
  std::array<std::uint8_t, kSize> stripe_of{};
  int stripe = 0;
  double end = kRatio;
  for (std::size_t i = 0; i < kSize; ++i) {
    while (stripe + 1 < stripes &&
           1 + static_cast<double>(i) / static_cast<double>(kSize) >= end) {
      ++stripe;
      end *= kRatio;
    }
    stripe_of[i] = static_cast<std::uint8_t>(stripe);
  }
  return stripe_of;
}

}  // namespace

constexpr std::array<std::uint8_t, std::size_t{1} << Table::kShareBits>
    Table::kStripeOf = StripesByShare<std::size_t{1} << kShareBits>(kStripes);

Result<std::unique_ptr<Table>> Table::Create(const TableSpec& spec,
                                             std::size_t max_rows_per_stripe) {
  HET_RETURN_IF_ERROR(Validate(spec));
  auto initializer = CreateInitializer(spec.initializer, spec.seed);
  HET_RETURN_IF_ERROR(initializer.status());
  auto optimizer = CreateOptimizer(spec.optimizer);
  HET_RETURN_IF_ERROR(optimizer.status());
  return std::unique_ptr<Table>(new Table(spec, max_rows_per_stripe,
                                          std::move(initializer).Take(),
                                          std::move(optimizer).Take()));
}

Table::Table(const TableSpec& spec, std::size_t max_rows_per_stripe,
             std::unique_ptr<const Initializer> initializer,
             std::unique_ptr<const Optimizer> optimizer)
    : spec_(spec),
      id_(spec.id()),
      dimension_(spec.dimension),
      initializer_(std::move(initializer)),
      optimizer_(std::move(optimizer)),
      slots_(optimizer_->SlotCount(spec.dimension)),
      row_bytes_(sizeof(Row) + (dimension_ + slots_) * sizeof(float)),
      chunk_shift_(ChunkShift(row_bytes_)),
      max_rows_per_stripe_(max_rows_per_stripe),
      chunks_(row_bytes_ << chunk_shift_) {
  std::vector<float> slots(slots_);
  optimizer_->InitializeSlots(dimension_, slots.data());
  initial_step_scale_ = optimizer_->StepScale(slots.data(), dimension_);
  for (std::size_t s = 0; s < kStripes; ++s) {
    stripes_.push_back(std::make_unique<Stripe>(&segments_));
  }
}

Status Table::Reserve(std::size_t rows) {
  // Counted first: whoever comes later sees the rows under way or there.
  const std::size_t under_way = reserved_.fetch_add(rows) + rows;
  if (fullest_ + under_way <= max_rows_per_stripe_) return OkStatus();
  reserved_ -= rows;
  return ResourceExhausted(
      "table '", spec_.name, "' has ", stats().rows, " rows at this shard and ",
      "no room for ", rows, " more: use more shards, or fewer rows per step");
}

void Table::Release(std::size_t rows) { reserved_ -= rows; }

template <typename Visit>
void Table::ForEach(Span<const RowId> ids, Visit visit) const {
  for (std::size_t from = 0; from < ids.size(); from += kBlock) {
    ForEachOfBlock(ids.subspan(from, std::min(kBlock, ids.size() - from)),
                   from, visit);
  }
}

template <typename Visit>
void Table::ForEachOfBlock(Span<const RowId> ids, std::size_t first,
                           Visit visit) const {
  // A counting sort by stripe: stable, so that an id pushed twice takes its
  // steps in order.
  const auto stripe_of = [](std::uint64_t hash) {
    return std::size_t{kStripeOf[hash >> RowIndex::kHashBits]};
  };
  std::array<std::uint32_t, kStripes + 1> begin = {};
  std::array<std::uint64_t, kBlock> hashes;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    hashes[i] = HashId(ids[i]);
    ++begin[stripe_of(hashes[i]) + 1];
  }
  for (std::size_t s = 0; s < kStripes; ++s) begin[s + 1] += begin[s];
  std::array<std::uint16_t, kBlock> order;
  std::array<std::uint32_t, kStripes + 1> next = begin;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    order[next[stripe_of(hashes[i])]++] = static_cast<std::uint16_t>(i);
  }
  for (std::size_t s = 0; s < kStripes; ++s) {
    if (begin[s] == begin[s + 1]) continue;
    Stripe& stripe = *stripes_[s];
    MutexLock lock(&stripe.mutex);
    for (std::size_t from = begin[s]; from < begin[s + 1]; from += kAtOnce) {
      const std::size_t end = std::min<std::size_t>(from + kAtOnce, begin[s + 1]);
      for (std::size_t k = from; k < end; ++k) {
        stripe.index.Prefetch(hashes[order[k]]);
      }
      std::array<const char*, kAtOnce> rows;
      for (std::size_t k = from; k < end; ++k) {
        rows[k - from] = Prefetch(stripe, hashes[order[k]]);
      }
      PrefetchRest({rows.data(), end - from});
      for (std::size_t k = from; k < end; ++k) {
        visit(stripe, hashes[order[k]], first + order[k]);
      }
    }
  }
}

const char* Table::Prefetch(const Stripe& stripe, std::uint64_t hash) const {
  const std::uint32_t number = stripe.index.Likely(hash);
  if (number == RowIndex::kNone) return nullptr;
  const auto* row = reinterpret_cast<const char*>(RowAt(stripe, number));
  PrefetchLine(row);
  return row;
}

void Table::PrefetchRest(Span<const char* const> rows) const {
  for (const char* row : rows) {
    if (row == nullptr) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(row);
    const std::uintptr_t end = begin + std::min(row_bytes_, kPrefetchBytes);
    for (std::uintptr_t line = (begin / kLineBytes + 1) * kLineBytes;
         line < end; line += kLineBytes) {
      PrefetchLine(reinterpret_cast<const void*>(line));
    }
  }
}

void Table::Push(Span<const RowId> ids, Span<const Clock> clocks,
                 Span<const float> learning_rates, Span<const float> gradients,
                 std::uint64_t round) {
  if (spec_.synchronous) {
    NoteRound(round);
    ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                     HET_NO_THREAD_SAFETY_ANALYSIS {
                       CloseBefore(stripe, round);
                       if (stripe.round.number() == 0) {
                         stripe.round.Begin(round);
                       }
                       stripe.round.Add(FindOrCreate(stripe, hash, ids[i]),
                                        clocks[i], learning_rates[i],
                                        &gradients[i * dimension_],
                                        dimension_);
                     });
    return;
  }
  ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     Row* row = RowToWrite(
                         stripe, FindOrCreate(stripe, hash, ids[i]));
                     optimizer_->Step(learning_rates[i],
                                      &gradients[i * dimension_], dimension_,
                                      row->values(),
                                      row->values() + dimension_);
                     SetClock(stripe, row,
                              ClockAfterPush(ClockOf(stripe, row), clocks[i]));
                   });
}

void Table::Fetch(Span<const RowId> ids, float* values, RowView* views,
                  std::uint64_t round) const {
  if (spec_.synchronous) NoteRound(round);
  std::vector<float> scratch;
  ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     CloseBefore(stripe, round);
                     Copy(See(stripe, hash, ids[i], round, &scratch),
                          values + i * dimension_, &views[i]);
                   });
}

void Table::FetchStale(Span<const RowId> ids, Span<const Clock> clocks,
                       Staleness staleness, float* values, RowView* views,
                       std::uint64_t round) const {
  if (spec_.synchronous) NoteRound(round);
  std::vector<float> scratch;
  StalenessHistogram::Batch staleness_seen;
  ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     CloseBefore(stripe, round);
                     const Seen row =
                         See(stripe, hash, ids[i], round, &scratch);
                     staleness_seen.Note(row.clock, clocks[i]);
                     if (WithinReadStaleness(row.clock, clocks[i], staleness)) {
                       views[i] = RowView{};
                     } else {
                       Copy(row, values + i * dimension_, &views[i]);
                     }
                   });
  staleness_.Add(staleness_seen);
}

std::size_t Table::CountNew(Span<const RowId> ids) const {
  std::size_t count = 0;
  ForEach(ids, [&](const Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     if (Find(stripe, hash, ids[i]) == RowIndex::kNone) ++count;
                   });
  return count;
}

void Table::Assign(Staleness staleness, Span<const RowId> ids,
                   Span<const float> rows) {
  ForEach(ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                   HET_NO_THREAD_SAFETY_ANALYSIS {
                     Close(stripe);
                     Row* row = RowToWrite(
                         stripe, FindOrCreate(stripe, hash, ids[i]));
                     std::memcpy(row->values(), &rows[i * dimension_],
                                 dimension_ * sizeof(float));
                     optimizer_->InitializeSlots(dimension_,
                                                 row->values() + dimension_);
                     SetClock(
                         stripe, row,
                         ClockAfterAssign(ClockOf(stripe, row), staleness));
                   });
}

void Table::Load(const RowBlock& rows) {
  const bool with_slots = rows.slots.size() == rows.ids.size() * slots_;
  ForEach(rows.ids, [&](Stripe& stripe, std::uint64_t hash, std::size_t i)
                        HET_NO_THREAD_SAFETY_ANALYSIS {
                          Row* row = RowToWrite(
                              stripe, FindOrCreate(stripe, hash, rows.ids[i]));
                          std::memcpy(row->values(),
                                      &rows.values[i * dimension_],
                                      dimension_ * sizeof(float));
                          if (with_slots && slots_ > 0) {
                            std::memcpy(row->values() + dimension_,
                                        &rows.slots[i * slots_],
                                        slots_ * sizeof(float));
                          }
                          SetClock(stripe, row, rows.clocks[i]);
                        });
}

void Table::TakeRows(const Table& other) {
  for (std::size_t s = 0; s < kStripes; ++s) {
    const Stripe& from = *other.stripes_[s];
    Stripe& to = *stripes_[s];
    MutexLock from_lock(&from.mutex);
    MutexLock to_lock(&to.mutex);
    for (std::size_t number = 0; number < from.rows; ++number) {
      Row* old = other.RowAt(from, number);
      Row* row = RowAt(to, FindOrCreate(to, HashId(old->id()), old->id()));
      std::memcpy(row->values(), old->values(), dimension_ * sizeof(float));
      SetClock(to, row, other.ClockOf(from, old));
    }
  }
}

void Table::Copy(const Seen& row, float* values, RowView* view) const {
  if (row.values == nullptr) {
    *view = {nullptr, 0, initial_step_scale_, true};
    return;
  }
  std::memcpy(values, row.values, dimension_ * sizeof(float));
  *view = {values, row.clock, optimizer_->StepScale(row.slots, dimension_)};
}

Table::Row* Table::RowAt(const Stripe& stripe, std::size_t number) const {
  const std::size_t in_chunk = number & ((std::size_t{1} << chunk_shift_) - 1);
  return reinterpret_cast<Row*>(stripe.chunks[number >> chunk_shift_] +
                                in_chunk * row_bytes_);
}

std::uint32_t Table::Find(const Stripe& stripe, std::uint64_t hash,
                          RowId id) const {
  return stripe.index.Find(
      hash, [&](std::uint32_t candidate) HET_NO_THREAD_SAFETY_ANALYSIS {
        return RowAt(stripe, candidate)->id() == id;
      });
}

std::uint32_t Table::FindOrCreate(Stripe& stripe, std::uint64_t hash,
                                  RowId id) {
  const std::uint32_t existing = Find(stripe, hash, id);
  return existing != RowIndex::kNone ? existing : Create(stripe, hash, id);
}

std::uint32_t Table::Create(Stripe& stripe, std::uint64_t hash, RowId id) {
  if (stripe.rows == stripe.chunks.size() << chunk_shift_) {
    stripe.chunks.push_back(chunks_.Take());
  }
  const auto number = static_cast<std::uint32_t>(stripe.rows);
  Row* row = new (RowAt(stripe, number)) Row(id);
  initializer_->Fill(id_, id, dimension_, row->values());
  optimizer_->InitializeSlots(dimension_, row->values() + dimension_);
  stripe.index.Insert(
      hash, number,
      [&](const std::uint32_t* numbers, std::size_t count,
          std::uint64_t* hashes) HET_NO_THREAD_SAFETY_ANALYSIS {
        for (std::size_t i = 0; i < count; ++i) {
          if (i + kAtOnce < count) {
            PrefetchLine(RowAt(stripe, numbers[i + kAtOnce]));
          }
          hashes[i] = HashId(RowAt(stripe, numbers[i])->id());
        }
      });
  ++stripe.rows;
  rows_.fetch_add(1, std::memory_order_relaxed);
  std::size_t fullest = fullest_;
  while (fullest < stripe.rows &&
         !fullest_.compare_exchange_weak(fullest, stripe.rows)) {
  }
  return number;
}

Clock Table::ClockOf(const Stripe& stripe, const Row* row) const {
  return row->clock_ != kLargeClock ? Clock{row->clock_}
                                    : stripe.large_clocks.at(row);
}

void Table::SetClock(Stripe& stripe, Row* row, Clock clock) const {
  if (clock >= kLargeClock) {
    stripe.large_clocks[row] = clock;
    row->clock_ = kLargeClock;
  } else {  // clocks never go back: there was no large one
    row->clock_ = static_cast<std::uint32_t>(clock);
  }
}

TableStats Table::stats() const {
  TableStats stats;
  stats.name = spec_.name;
  stats.dimension = dimension_;
  stats.optimizer = ToString(spec_.optimizer);
  for (const auto& stripe : stripes_) {
    MutexLock lock(&stripe->mutex);
    stats.rows += static_cast<std::int64_t>(stripe->rows);
    // Of the chunk that is being filled, what is: the rest is not touched yet.
    stats.memory_bytes += static_cast<std::int64_t>(
        stripe->rows * row_bytes_ + stripe->index.memory_bytes() +
        stripe->chunks.capacity() * sizeof(char*) +
        stripe->round.memory_bytes() + stripe->marks.memory_bytes() +
        stripe->kept.bytes() +
        stripe->large_clocks.size() * (sizeof(Row*) + sizeof(Clock)) +
        sizeof(Stripe));
  }
  staleness_.FillIn(&stats);
  return stats;
}

}  // namespace het
