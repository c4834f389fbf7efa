// Table's rounds: what a synchronous table does with them.

#include "kernels/base/prefetch.h"
#include "kernels/consistency/staleness.h"
#include "kernels/shard/table.h"

namespace het {
namespace {

// Rows whose memory is asked for ahead of their step.
constexpr std::size_t kAhead = 64;

}  // namespace

Status Table::CheckRound(const TableExchange& exchange) const {
  const std::uint64_t newest = newest_round_;
  if (!spec_.synchronous || exchange.push_ids.empty() ||
      exchange.round >= newest) {
    return OkStatus();
  }
  return FailedPrecondition(
      "table '", spec_.name, "' is synchronous and has seen round ", newest,
      ", a worker pushes to round ", exchange.round,
      ": all workers have to take every step together, and one job at a time "
      "may train the table");
}

void Table::NoteRound(std::uint64_t round) const {
  std::uint64_t newest = newest_round_;
  while (newest < round &&
         !newest_round_.compare_exchange_weak(newest, round)) {
  }
}

void Table::CloseRounds() {
  for (const auto& stripe : stripes_) {
    MutexLock lock(&stripe->mutex);
    Close(*stripe);
  }
  newest_round_ = 0;
}

void Table::CloseBefore(Stripe& stripe, std::uint64_t round) const {
  if (stripe.round.number() < round) Close(stripe);
}

void Table::Close(Stripe& stripe) const {
  OpenRound& round = stripe.round;
  for (std::size_t i = 0; i < round.size(); ++i) {
    if (i + kAhead < round.size()) {
      PrefetchLine(RowAt(stripe, round[i + kAhead].row));
    }
    Row* row = RowToWrite(stripe, round[i].row);
    optimizer_->Step(round[i].learning_rate, round.sum(i, dimension_),
                     dimension_, row->values(), row->values() + dimension_);
    SetClock(stripe, row,
             ClockAfterPush(ClockOf(stripe, row), round[i].clock));
  }
  if (round.number() != 0) round.End();
}

Table::Seen Table::See(const Stripe& stripe, std::uint64_t hash, RowId id,
                       std::uint64_t round, std::vector<float>* scratch) const {
  const std::uint32_t number = Find(stripe, hash, id);
  if (number == RowIndex::kNone) return {};
  Row* row = RowAt(stripe, number);
  Seen seen = {row->values(), row->values() + dimension_,
               ClockOf(stripe, row)};
  if (round != 0 || stripe.round.number() == 0) return seen;
  const std::size_t i = stripe.round.Find(number);
  if (i == OpenRound::kNone) return seen;
  scratch->assign(seen.values, seen.values + dimension_ + slots_);
  float* values = scratch->data();
  optimizer_->Step(stripe.round[i].learning_rate,
                   stripe.round.sum(i, dimension_), dimension_, values,
                   values + dimension_);
  return {values, values + dimension_,
          ClockAfterPush(seen.clock, stripe.round[i].clock)};
}

}  // namespace het
