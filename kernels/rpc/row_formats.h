// Row formats: float32 values to the formats of the wire and back.
//
//   bfloat16  relative error of at most 2^-8; beyond its largest value, infinity
//   float16   2^-11 between 2^-14 and 65504, 2^-25 below; beyond, infinity
//   int8      half a step of (largest magnitude of the row) / 127; a row whose
//             largest magnitude is below 2^-118 becomes zeros
//
// These are the errors of rounding to nearest, to even in a tie, which is what
// rows get. Gradients are rounded at random (RoundingBits), up or down with the
// probability that makes the expectation exact; the error is at most twice as
// large. A NaN stays one and an infinity keeps its sign; in int8, where neither
// can be written, the whole row becomes NaN (its scale is NaN).
//
// Pure functions. Nothing has to be aligned. Loops in several versions
// (kernels/base/simd.h), which compute the same bits.

#ifndef HET_TF_KERNELS_RPC_ROW_FORMATS_H_
#define HET_TF_KERNELS_RPC_ROW_FORMATS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/base/types.h"

namespace het {

// Random bits for the value at a position of a table's gradients in an exchange:
// a retried exchange sends the same bytes again.
class RoundingBits {
 public:
  RoundingBits(Incarnation worker, std::uint64_t sequence, TableId table);

  std::uint32_t At(std::uint32_t position) const {
    std::uint32_t bits = position * 0x9e3779b1u + first_;
    bits = (bits ^ bits >> 16) * 0x85ebca6bu ^ second_;
    bits = (bits ^ bits >> 13) * 0xc2b2ae35u;
    return bits ^ bits >> 16;
  }

 private:
  std::uint32_t first_;
  std::uint32_t second_;
};

// `to` gets two bytes per value. `position` is that of values[0].
void ToBfloat16(const float* values, std::size_t count, std::uint8_t* to);
void ToBfloat16(const float* values, std::size_t count, RoundingBits bits,
                std::uint32_t position, std::uint8_t* to);
void FromBfloat16(const std::uint8_t* from, std::size_t count, float* values);

void ToFloat16(const float* values, std::size_t count, std::uint8_t* to);
void ToFloat16(const float* values, std::size_t count, RoundingBits bits,
               std::uint32_t position, std::uint8_t* to);
void FromFloat16(const std::uint8_t* from, std::size_t count, float* values);

// One row; `to` gets a byte per value, the scale is returned.
float ToInt8(const float* row, std::size_t dimension, std::uint8_t* to);
float ToInt8(const float* row, std::size_t dimension, RoundingBits bits,
             std::uint32_t position, std::uint8_t* to);
void FromInt8(const std::uint8_t* from, std::size_t dimension, float scale,
              float* row);

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_ROW_FORMATS_H_
