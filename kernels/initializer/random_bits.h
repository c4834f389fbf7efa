// Counter-based random numbers: the bits of value (seed, table, id, column) are
// computed from these four alone, in any order, on any machine.
//
// Pure functions; integer arithmetic and exactly rounded IEEE operations only.

#ifndef HET_TF_KERNELS_INITIALIZER_RANDOM_BITS_H_
#define HET_TF_KERNELS_INITIALIZER_RANDOM_BITS_H_

#include <cstdint>

#include "kernels/base/hash.h"
#include "kernels/base/types.h"

namespace het {

// A stream of 64-bit numbers for one row: SplitMix64 from a state that mixes
// all three names.
class RowBits {
 public:
  RowBits(std::uint64_t seed, TableId table, RowId id)
      : state_(Mix64(Mix64(Mix64(seed + kStep) ^ table) ^
                     static_cast<std::uint64_t>(id))) {}

  std::uint64_t Next() {
    state_ += kStep;
    return Mix64(state_);
  }

 private:
  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15ULL;
  std::uint64_t state_;
};

// In (0, 1): the middle of one of 2^52 equal intervals, exact in double.
inline double ToUnit(std::uint64_t bits) {
  return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
}

// The inverse of the standard normal distribution function at `p` in (0, 1),
// with a relative error below 1e-9 inside of 8 standard deviations.
double InverseNormal(double p);

}  // namespace het

#endif  // HET_TF_KERNELS_INITIALIZER_RANDOM_BITS_H_
