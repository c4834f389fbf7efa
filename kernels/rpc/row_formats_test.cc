// Row formats: errors within what the header promises, the same bits on every
// processor's path, NaN and infinity kept, random rounding that is right on
// average.

#include "kernels/rpc/row_formats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace het {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

enum class Short { kBfloat16, kFloat16 };

std::vector<std::uint8_t> Encode(Short format, const std::vector<float>& values,
                                 const RoundingBits* bits = nullptr) {
  std::vector<std::uint8_t> bytes(2 * values.size());
  const std::size_t count = values.size();
  if (format == Short::kBfloat16) {
    if (bits == nullptr) {
      ToBfloat16(values.data(), count, bytes.data());
    } else {
      ToBfloat16(values.data(), count, *bits, 0, bytes.data());
    }
  } else if (bits == nullptr) {
    ToFloat16(values.data(), count, bytes.data());
  } else {
    ToFloat16(values.data(), count, *bits, 0, bytes.data());
  }
  return bytes;
}

std::vector<float> Decode(Short format, const std::vector<std::uint8_t>& bytes) {
  std::vector<float> values(bytes.size() / 2);
  (format == Short::kBfloat16 ? FromBfloat16 : FromFloat16)(
      bytes.data(), values.size(), values.data());
  return values;
}

std::vector<float> Draw(std::uint64_t seed, std::size_t count, int low,
                        int high) {
  std::mt19937_64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    const float unit = 1 + static_cast<float>(random() % (1 << 23)) * 0x1p-23f;
    const int exponent = low + static_cast<int>(
        random() % static_cast<std::uint64_t>(high - low));
    value = std::ldexp(random() % 2 == 0 ? unit : -unit, exponent);
  }
  return values;
}

TEST(RowFormats, SixteenBitsKeepTheirRelativeError) {
  struct Case {
    Short format;
    int low, high;
    double relative;
  };
  for (const Case& c : {Case{Short::kBfloat16, -126, 127, 0x1p-8},
                        Case{Short::kFloat16, -14, 15, 0x1p-11}}) {
    const std::vector<float> values = Draw(1, 200001, c.low, c.high);
    const std::vector<float> near = Decode(c.format, Encode(c.format, values));
    const RoundingBits bits(1, 2, 3);
    const std::vector<float> drawn =
        Decode(c.format, Encode(c.format, values, &bits));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double value = values[i];
      ASSERT_LE(std::abs(near[i] - value), c.relative * std::abs(value));
      ASSERT_LT(std::abs(drawn[i] - value), 2 * c.relative * std::abs(value));
    }
  }
}

TEST(RowFormats, SmallFloat16ValuesKeepTheirAbsoluteError) {
  const std::vector<float> values = Draw(2, 100000, -40, -14);
  const std::vector<float> near =
      Decode(Short::kFloat16, Encode(Short::kFloat16, values));
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_LE(std::abs(double{near[i]} - double{values[i]}), 0x1p-25);
  }
}

// Every bit pattern of 16 bits means the number that the compiler's own type,
// or the definition, says, and encodes to itself.
TEST(RowFormats, EverySixteenBitPatternComesBack) {
  std::vector<std::uint8_t> bytes;
  for (int pattern = 0; pattern < 1 << 16; ++pattern) {
    bytes.push_back(static_cast<std::uint8_t>(pattern));
    bytes.push_back(static_cast<std::uint8_t>(pattern >> 8));
  }
  const RoundingBits bits(4, 5, 6);
  for (const Short format : {Short::kBfloat16, Short::kFloat16}) {
    const std::vector<float> values = Decode(format, bytes);
    const int fraction_bits = format == Short::kBfloat16 ? 7 : 10;
    const int bias = format == Short::kBfloat16 ? 127 : 15;
    for (int pattern = 0; pattern < 1 << 16; ++pattern) {
      const int exponent = (pattern & 0x7fff) >> fraction_bits;
      const int fraction = pattern & ((1 << fraction_bits) - 1);
      const auto k = static_cast<std::size_t>(pattern);
      if (exponent == 2 * bias + 1) {
        ASSERT_EQ(std::isnan(values[k]), fraction != 0);
        ASSERT_TRUE(fraction != 0 || std::isinf(values[k]));
      } else {
        const double expected = std::ldexp(
            exponent == 0 ? fraction : fraction + (1 << fraction_bits),
            std::max(exponent, 1) - bias - fraction_bits);
        ASSERT_EQ(std::abs(double{values[k]}), expected) << pattern;
      }
      ASSERT_EQ(std::signbit(values[k]), pattern >= 1 << 15);
    }
    for (const RoundingBits* rounding : {static_cast<const RoundingBits*>(
                                             nullptr), &bits}) {
      const std::vector<std::uint8_t> again = Encode(format, values, rounding);
      for (std::size_t k = 0; k < values.size(); ++k) {
        if (std::isnan(values[k])) continue;
        ASSERT_EQ(again[2 * k], bytes[2 * k]) << k;
        ASSERT_EQ(again[2 * k + 1], bytes[2 * k + 1]) << k;
      }
    }
  }
}

TEST(RowFormats, NearestMeansToEvenInATie) {
  // One and a half last places above 1 and half a one below it.
  EXPECT_EQ(Decode(Short::kBfloat16, Encode(Short::kBfloat16,
                                            {1 + 0x1p-8f, 1 + 0x3p-8f})),
            (std::vector<float>{1, 1 + 0x1p-6f}));
  EXPECT_EQ(Decode(Short::kFloat16, Encode(Short::kFloat16,
                                           {1 + 0x1p-11f, 1 + 0x3p-11f,
                                            0x1p-25f, 0x3p-25f})),
            (std::vector<float>{1, 1 + 0x1p-9f, 0, 0x1p-23f}));
}

TEST(RowFormats, WhatIsNotFiniteStaysSo) {
  const std::vector<float> values = {kNan,      -kNan,  kInfinity, -kInfinity,
                                     65520,     -65520, 1e30f,     65519,
                                     3.40282e38f};
  const RoundingBits bits(1, 1, 1);
  for (const RoundingBits* rounding :
       {static_cast<const RoundingBits*>(nullptr), &bits}) {
    for (const Short format : {Short::kBfloat16, Short::kFloat16}) {
      const std::vector<float> back =
          Decode(format, Encode(format, values, rounding));
      EXPECT_TRUE(std::isnan(back[0]) && std::isnan(back[1]));
      EXPECT_EQ(back[2], kInfinity);
      EXPECT_EQ(back[3], -kInfinity);
      if (format == Short::kBfloat16) {
        EXPECT_NEAR(back[4], 65520, 65520 * 0x1p-8);
        continue;
      }
      EXPECT_EQ(back[6], kInfinity);
      if (rounding != nullptr) continue;
      EXPECT_EQ(back[4], kInfinity);
      EXPECT_EQ(back[5], -kInfinity);
      EXPECT_EQ(back[7], 65504);
    }
  }
}

TEST(RowFormats, Int8KeepsHalfAStepAndItsLargest) {
  std::mt19937_64 random(7);
  const RoundingBits bits(1, 2, 3);
  for (const std::size_t dimension : {1, 2, 7, 16, 33, 128}) {
    for (int i = 0; i < 300; ++i) {
      const std::vector<float> row = Draw(random(), dimension, -8 - i / 3, -2);
      float largest = 0;
      for (const float value : row) largest = std::max(largest, std::abs(value));
      std::vector<std::uint8_t> bytes(dimension);
      std::vector<float> back(dimension);
      float scale = ToInt8(row.data(), dimension, bytes.data());
      EXPECT_EQ(scale, largest / 127);
      FromInt8(bytes.data(), dimension, scale, back.data());
      for (std::size_t d = 0; d < dimension; ++d) {
        ASSERT_LE(std::abs(back[d] - row[d]), 0.50001 * scale);
      }
      scale = ToInt8(row.data(), dimension, bits, 5, bytes.data());
      FromInt8(bytes.data(), dimension, scale, back.data());
      for (std::size_t d = 0; d < dimension; ++d) {
        ASSERT_LE(std::abs(back[d] - row[d]), 1.0001 * scale);
      }
    }
  }
}

TEST(RowFormats, Int8RowsThatCannotBeScaled) {
  std::vector<std::uint8_t> bytes(2);
  std::vector<float> back(2);
  const RoundingBits bits(1, 2, 3);
  for (const std::vector<float>& row :
       {std::vector<float>{1, kNan}, {kInfinity, 1}, {-kInfinity, 0}}) {
    for (const float scale : {ToInt8(row.data(), 2, bytes.data()),
                              ToInt8(row.data(), 2, bits, 0, bytes.data())}) {
      FromInt8(bytes.data(), 2, scale, back.data());
      EXPECT_TRUE(std::isnan(back[0]) && std::isnan(back[1]));
    }
  }
  for (const std::vector<float>& row :
       {std::vector<float>{0, -0.0f}, {0x1p-119f, 0}, {1e-44f, -1e-44f}}) {
    const float scale = ToInt8(row.data(), 2, bytes.data());
    FromInt8(bytes.data(), 2, scale, back.data());
    EXPECT_EQ(back, (std::vector<float>{0, 0}));
  }
  const float huge = 0x1.8p127f;
  const std::vector<float> row = {huge, -huge};
  const float scale = ToInt8(row.data(), 2, bytes.data());
  FromInt8(bytes.data(), 2, scale, back.data());
  EXPECT_NEAR(back[0] / huge, 1, 1e-6);
  EXPECT_NEAR(back[1] / huge, -1, 1e-6);
}

// The mean of n draws of a value between two steps lies within five standard
// errors of the value: n draws of a step h have one of at most h / (2 sqrt n).
TEST(RowFormats, RandomRoundingIsRightOnAverage) {
  constexpr int kDraws = 20000;
  const std::vector<float> row = {1.0f,     0.3f,   -0.71234f, 1e-3f,
                                  -2.2e-6f, 3e-8f,  0.999f,    -0.0f,
                                  0.125f,   0x1p-24f, 7e-7f,   -0.5000001f};
  const std::size_t dimension = row.size();
  std::vector<double> bfloat(dimension), half(dimension), small(dimension);
  for (int draw = 0; draw < kDraws; ++draw) {
    const RoundingBits bits(17, static_cast<std::uint64_t>(draw), 3);
    const auto add = [&](const std::vector<float>& values,
                         std::vector<double>* sums) {
      for (std::size_t d = 0; d < dimension; ++d) (*sums)[d] += values[d];
    };
    add(Decode(Short::kBfloat16, Encode(Short::kBfloat16, row, &bits)), &bfloat);
    add(Decode(Short::kFloat16, Encode(Short::kFloat16, row, &bits)), &half);
    std::vector<std::uint8_t> bytes(dimension);
    std::vector<float> back(dimension);
    const float scale = ToInt8(row.data(), dimension, bits, 0, bytes.data());
    FromInt8(bytes.data(), dimension, scale, back.data());
    add(back, &small);
  }
  const double errors = 5 / (2 * std::sqrt(kDraws));
  for (std::size_t d = 0; d < dimension; ++d) {
    const double value = row[d], magnitude = std::abs(value);
    EXPECT_NEAR(bfloat[d] / kDraws, value, errors * magnitude * 0x1p-7) << d;
    EXPECT_NEAR(half[d] / kDraws, value,
                errors * std::max(magnitude * 0x1p-10, 0x1p-24)) << d;
    EXPECT_NEAR(small[d] / kDraws, value, errors / 127 + 1e-7) << d;
  }
}

// A long array takes the vector code, one value at a time its remainder.
TEST(RowFormats, EveryPathGivesTheSameBits) {
  const std::vector<float> values = Draw(9, 1003, -30, 17);
  const RoundingBits bits(8, 9, 10);
  for (const Short format : {Short::kBfloat16, Short::kFloat16}) {
    const std::vector<std::uint8_t> near = Encode(format, values);
    const std::vector<std::uint8_t> drawn = Encode(format, values, &bits);
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint8_t one[2];
      const auto position = static_cast<std::uint32_t>(i);
      if (format == Short::kBfloat16) {
        ToBfloat16(&values[i], 1, one);
        ASSERT_EQ(std::memcmp(one, &near[2 * i], 2), 0);
        ToBfloat16(&values[i], 1, bits, position, one);
      } else {
        ToFloat16(&values[i], 1, one);
        ASSERT_EQ(std::memcmp(one, &near[2 * i], 2), 0);
        ToFloat16(&values[i], 1, bits, position, one);
      }
      ASSERT_EQ(std::memcmp(one, &drawn[2 * i], 2), 0);
    }
  }
}

TEST(RowFormats, RandomBitsDifferByWorkerSequenceTableAndPosition) {
  const RoundingBits bits(1, 2, 3);
  EXPECT_EQ(bits.At(7), RoundingBits(1, 2, 3).At(7));
  for (const RoundingBits& other :
       {RoundingBits(2, 2, 3), RoundingBits(1, 3, 3), RoundingBits(1, 2, 4)}) {
    int same = 0;
    for (std::uint32_t i = 0; i < 1000; ++i) same += bits.At(i) == other.At(i);
    EXPECT_LT(same, 3);
  }
  // Each bit is set half of the time.
  for (int bit = 0; bit < 32; ++bit) {
    int set = 0;
    for (std::uint32_t i = 0; i < 10000; ++i) set += bits.At(i) >> bit & 1;
    EXPECT_NEAR(set, 5000, 300) << bit;
  }
}

}  // namespace
}  // namespace het
