// OpenRound: what the workers have pushed in one round to the rows of one stripe
// of a synchronous table, summed row by row, until the round is over and each sum
// becomes one optimizer step.
//
// Sums are added in the order in which pushes arrive: of two workers in either
// order the same bits, of more the same but for the rounding of the sum.
//
// Ownership: it keeps its memory from round to round, as much as the largest one
// took. Thread-safety: none; the stripe's mutex guards it.

#ifndef HET_TF_KERNELS_SHARD_OPEN_ROUND_H_
#define HET_TF_KERNELS_SHARD_OPEN_ROUND_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/base/types.h"

namespace het {

class OpenRound {
 public:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  struct Entry {
    std::uint32_t row;    // its number in the stripe
    Clock clock;          // the largest that was pushed
    float learning_rate;  // the largest; workers in step push with the same
  };

  // 0: no round is open.
  std::uint64_t number() const { return number_; }
  // REQUIRES: no round is open; number > 0.
  void Begin(std::uint64_t number) { number_ = number; }
  // Adds a push. REQUIRES: a round is open; the dimension is always the same.
  void Add(std::uint32_t row, Clock clock, float learning_rate, const float* gradient,
           std::size_t dimension);
  // Forgets the round.
  void End();

  std::size_t size() const { return entries_.size(); }
  const Entry& operator[](std::size_t i) const { return entries_[i]; }
  const float* sum(std::size_t i, std::size_t dimension) const {
    return &sums_[i * dimension];
  }
  // The place of the row's entry, or kNone.
  std::size_t Find(std::uint32_t row) const;

  std::size_t memory_bytes() const {
    return entries_.capacity() * sizeof(Entry) +
           sums_.capacity() * sizeof(float) +
           buckets_.capacity() * sizeof(std::uint32_t);
  }

 private:
  // The row's bucket, or the empty one where it belongs.
  std::size_t BucketOf(std::uint32_t row) const;
  void Grow();

  std::uint64_t number_ = 0;
  std::vector<Entry> entries_;
  std::vector<float> sums_;
  // Place of an entry plus 1; 0: empty. At most half full.
  std::vector<std::uint32_t> buckets_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_OPEN_ROUND_H_
