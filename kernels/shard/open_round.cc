#include "kernels/shard/open_round.h"

#include <algorithm>

#include "kernels/base/hash.h"

namespace het {

void OpenRound::Add(std::uint32_t row, Clock clock, float learning_rate,
                    const float* gradient, std::size_t dimension) {
  if (2 * (entries_.size() + 1) > buckets_.size()) Grow();
  const std::size_t bucket = BucketOf(row);
  if (buckets_[bucket] == 0) {
    entries_.push_back({row, clock, learning_rate});
    sums_.insert(sums_.end(), gradient, gradient + dimension);
    buckets_[bucket] = static_cast<std::uint32_t>(entries_.size());
    return;
  }
  const std::size_t place = buckets_[bucket] - 1;
  Entry& entry = entries_[place];
  entry.clock = std::max(entry.clock, clock);
  entry.learning_rate = std::max(entry.learning_rate, learning_rate);
  float* sum = &sums_[place * dimension];
  for (std::size_t d = 0; d < dimension; ++d) sum[d] += gradient[d];
}

void OpenRound::End() {
  number_ = 0;
  entries_.clear();
  sums_.clear();
  std::fill(buckets_.begin(), buckets_.end(), 0);
}

std::size_t OpenRound::Find(std::uint32_t row) const {
  if (entries_.empty()) return kNone;
  const std::uint32_t place = buckets_[BucketOf(row)];
  return place == 0 ? kNone : place - 1;
}

std::size_t OpenRound::BucketOf(std::uint32_t row) const {
  const std::size_t mask = buckets_.size() - 1;
  std::size_t bucket = Mix64(row) & mask;
  while (buckets_[bucket] != 0 && entries_[buckets_[bucket] - 1].row != row) {
    bucket = (bucket + 1) & mask;
  }
  return bucket;
}

void OpenRound::Grow() {
  buckets_.assign(std::max<std::size_t>(64, 2 * buckets_.size()), 0);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    buckets_[BucketOf(entries_[i].row)] = static_cast<std::uint32_t>(i + 1);
  }
}

}  // namespace het
