#include "kernels/rpc/row_formats.h"

#include <cstring>
#include <limits>

#include "kernels/base/hash.h"
#include "kernels/base/simd.h"

// What runs inside of the loops has no branch, so that they become vector code.

namespace het {
namespace {

#define HET_INLINE inline __attribute__((always_inline))

template <typename Kernel, typename... Arguments>
void Run(Arguments... arguments) {
  RunVectorized([&]() HET_LOOP { Kernel::Run(arguments...); });
}

HET_INLINE std::uint32_t BitsOf(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

HET_INLINE float FloatOf(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

HET_INLINE void Store16(std::uint32_t bits, std::uint8_t* to) {
  const auto half = static_cast<std::uint16_t>(bits);
  std::memcpy(to, &half, sizeof half);
}

HET_INLINE std::uint32_t Load16(const std::uint8_t* from) {
  std::uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return half;
}

// value < limit ? yes : no, of numbers below 2^31. The compiler would make a
// branch of ?: where one side is floating-point arithmetic.
HET_INLINE std::uint32_t IfBelow(std::uint32_t value, std::uint32_t limit,
                                 std::uint32_t yes, std::uint32_t no) {
  const auto mask = static_cast<std::uint32_t>(
      static_cast<std::int32_t>(value - limit) >> 31);
  return (yes & mask) | (no & ~mask);
}

constexpr std::uint32_t kMagnitude = 0x7fffffff;
constexpr std::uint32_t kInfinity = 0x7f800000;

// --- bfloat16: the upper half of a float32. ---------------------------------

// `addend` is what rounds: added to the 16 bits that go.
HET_INLINE std::uint32_t Bfloat16Bits(std::uint32_t bits,
                                      std::uint32_t addend) {
  const std::uint32_t rounded = (bits + addend) >> 16;
  const std::uint32_t quiet_nan = bits >> 16 | 0x40;
  return (bits & kMagnitude) > kInfinity ? quiet_nan : rounded;
}

struct NearestBfloat16 {
  static HET_INLINE void Run(const float* values, std::size_t count,
                             std::uint8_t* to) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t bits = BitsOf(values[i]);
      Store16(Bfloat16Bits(bits, 0x7fff + (bits >> 16 & 1)), to + 2 * i);
    }
  }
};

struct RandomBfloat16 {
  static HET_INLINE void Run(const float* values, std::size_t count,
                             RoundingBits random, std::uint32_t position,
                             std::uint8_t* to) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t drawn =
          random.At(position + static_cast<std::uint32_t>(i));
      Store16(Bfloat16Bits(BitsOf(values[i]), drawn & 0xffff), to + 2 * i);
    }
  }
};

struct WidenBfloat16 {
  static HET_INLINE void Run(const std::uint8_t* from, std::size_t count,
                             float* values) {
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = FloatOf(Load16(from + 2 * i) << 16);
    }
  }
};

// --- float16: 5 bits of exponent instead of 8, 10 of fraction instead of 23. -

constexpr std::uint32_t kExponents = 112u << 23;      // the two biases' distance
constexpr std::uint32_t kLeastNormal = 113u << 23;    // 2^-14
constexpr std::uint32_t kTooLarge = 143u << 23;       // 2^16

// Puts a float16 together. `normal` and `subnormal` are what a magnitude in
// either range becomes; a carry out of the fraction is right in both.
HET_INLINE std::uint32_t Float16Bits(std::uint32_t bits, std::uint32_t normal,
                                     std::uint32_t subnormal) {
  const std::uint32_t magnitude = bits & kMagnitude;
  const std::uint32_t finite =
      IfBelow(magnitude, kLeastNormal, subnormal, normal);
  const std::uint32_t limited = IfBelow(magnitude, kTooLarge, finite, 0x7c00);
  const std::uint32_t any = IfBelow(magnitude, kInfinity + 1, limited, 0x7e00);
  return (bits >> 16 & 0x8000) | any;
}

struct NearestFloat16 {
  static HET_INLINE void Run(const float* values, std::size_t count,
                             std::uint8_t* to) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t bits = BitsOf(values[i]);
      const std::uint32_t magnitude = bits & kMagnitude;
      const std::uint32_t normal =
          (magnitude - kExponents + 0xfff + (magnitude >> 13 & 1)) >> 13;
      // The last place of a float32 in [0.5, 1) is that of a subnormal
      // float16: the addition rounds.
      const std::uint32_t subnormal =
          BitsOf(FloatOf(magnitude) + 0.5f) - BitsOf(0.5f);
      Store16(Float16Bits(bits, normal, subnormal), to + 2 * i);
    }
  }
};

struct RandomFloat16 {
  static HET_INLINE void Run(const float* values, std::size_t count,
                             RoundingBits random, std::uint32_t position,
                             std::uint8_t* to) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t drawn =
          random.At(position + static_cast<std::uint32_t>(i));
      const std::uint32_t bits = BitsOf(values[i]);
      const std::uint32_t magnitude = bits & kMagnitude;
      const std::uint32_t normal =
          (magnitude - kExponents + (drawn & 0x1fff)) >> 13;
      // In fixed point: places of 2^-24, with 20 bits behind them.
      const float small = FloatOf(
          IfBelow(magnitude, kLeastNormal, magnitude, kLeastNormal));
      const auto fixed = static_cast<std::uint32_t>(
          static_cast<std::int32_t>(small * 0x1p44f));
      const std::uint32_t subnormal = (fixed + (drawn & 0xfffff)) >> 20;
      Store16(Float16Bits(bits, normal, subnormal), to + 2 * i);
    }
  }
};

struct WidenFloat16 {
  static HET_INLINE void Run(const std::uint8_t* from, std::size_t count,
                             float* values) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t bits = Load16(from + 2 * i);
      const std::uint32_t magnitude = bits & 0x7fff;
      const std::uint32_t subnormal = BitsOf(
          static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f);
      const std::uint32_t normal = (magnitude << 13) + kExponents;
      const std::uint32_t finite =
          IfBelow(magnitude, 0x400, subnormal, normal);
      // Infinities and NaNs have the largest exponent of either format.
      const std::uint32_t any =
          IfBelow(magnitude, 0x7c00, finite, normal + kExponents);
      values[i] = FloatOf((bits & 0x8000) << 16 | any);
    }
  }
};

// --- int8: steps of largest magnitude / 127. --------------------------------

// Below this the scale would lose its own precision.
constexpr float kLeastLargest = 0x1p-118f;

struct LargestMagnitude {
  static HET_INLINE void Run(const float* row, std::size_t dimension,
                             float* largest) {
    std::int32_t bits = 0;  // ordered as the magnitudes are, NaNs above all
    for (std::size_t i = 0; i < dimension; ++i) {
      const auto magnitude =
          static_cast<std::int32_t>(BitsOf(row[i]) & kMagnitude);
      bits = bits < magnitude ? magnitude : bits;
    }
    *largest = FloatOf(static_cast<std::uint32_t>(bits));
  }
};

HET_INLINE std::uint8_t Int8Bits(std::int32_t step) {
  const std::int32_t low = step < -127 ? -127 : step;
  return static_cast<std::uint8_t>(low > 127 ? 127 : low);
}

struct NearestInt8 {
  static HET_INLINE void Run(const float* row, std::size_t dimension,
                             float steps_per_unit, std::uint8_t* to) {
    // A float32 near 1.5 * 2^23 has no bits behind the point: the addition
    // rounds, and the number stands in the last bits.
    constexpr float kRounder = 0x1.8p23f;
    for (std::size_t i = 0; i < dimension; ++i) {
      const std::uint32_t rounded = BitsOf(row[i] * steps_per_unit + kRounder);
      to[i] = Int8Bits(static_cast<std::int32_t>(rounded - BitsOf(kRounder)));
    }
  }
};

struct RandomInt8 {
  static HET_INLINE void Run(const float* row, std::size_t dimension,
                             float steps_per_unit, RoundingBits random,
                             std::uint32_t position, std::uint8_t* to) {
    for (std::size_t i = 0; i < dimension; ++i) {
      const std::uint32_t drawn =
          random.At(position + static_cast<std::uint32_t>(i));
      // In fixed point, with 23 bits behind it.
      const auto fixed =
          static_cast<std::int32_t>(row[i] * steps_per_unit * 0x1p23f);
      to[i] = Int8Bits(
          (fixed + static_cast<std::int32_t>(drawn & 0x7fffff)) >> 23);
    }
  }
};

struct WidenInt8 {
  static HET_INLINE void Run(const std::uint8_t* from, std::size_t dimension,
                             float scale, float* row) {
    for (std::size_t i = 0; i < dimension; ++i) {
      row[i] = static_cast<float>(static_cast<std::int8_t>(from[i])) * scale;
    }
  }
};

#undef HET_INLINE

// Writes the row by `write(steps per unit)` where it can be, and returns its
// scale.
template <typename Write>
float ScaleRow(const float* row, std::size_t dimension, std::uint8_t* to,
               Write write) {
  float largest = 0;
  Run<LargestMagnitude>(row, dimension, &largest);
  if (largest >= kLeastLargest &&
      largest <= std::numeric_limits<float>::max()) {
    write(127.0f / largest);
    return largest / 127.0f;
  }
  std::memset(to, 0, dimension);
  return largest < kLeastLargest ? 0.0f
                                 : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace

RoundingBits::RoundingBits(Incarnation worker, std::uint64_t sequence,
                           TableId table) {
  const std::uint64_t key = Mix64(Mix64(Mix64(worker) ^ sequence) ^ table);
  first_ = static_cast<std::uint32_t>(key);
  second_ = static_cast<std::uint32_t>(key >> 32);
}

void ToBfloat16(const float* values, std::size_t count, std::uint8_t* to) {
  Run<NearestBfloat16>(values, count, to);
}

void ToBfloat16(const float* values, std::size_t count, RoundingBits bits,
                std::uint32_t position, std::uint8_t* to) {
  Run<RandomBfloat16>(values, count, bits, position, to);
}

void FromBfloat16(const std::uint8_t* from, std::size_t count, float* values) {
  Run<WidenBfloat16>(from, count, values);
}

void ToFloat16(const float* values, std::size_t count, std::uint8_t* to) {
  Run<NearestFloat16>(values, count, to);
}

void ToFloat16(const float* values, std::size_t count, RoundingBits bits,
               std::uint32_t position, std::uint8_t* to) {
  Run<RandomFloat16>(values, count, bits, position, to);
}

void FromFloat16(const std::uint8_t* from, std::size_t count, float* values) {
  Run<WidenFloat16>(from, count, values);
}

float ToInt8(const float* row, std::size_t dimension, std::uint8_t* to) {
  return ScaleRow(row, dimension, to, [&](float steps_per_unit) {
    Run<NearestInt8>(row, dimension, steps_per_unit, to);
  });
}

float ToInt8(const float* row, std::size_t dimension, RoundingBits bits,
             std::uint32_t position, std::uint8_t* to) {
  return ScaleRow(row, dimension, to, [&](float steps_per_unit) {
    Run<RandomInt8>(row, dimension, steps_per_unit, bits, position, to);
  });
}

void FromInt8(const std::uint8_t* from, std::size_t dimension, float scale,
              float* row) {
  Run<WidenInt8>(from, dimension, scale, row);
}

}  // namespace het
