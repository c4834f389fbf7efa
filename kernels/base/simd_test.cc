// Every version of a loop that this processor can run computes the same bits.

#include "kernels/base/simd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <vector>

namespace het {
namespace {

std::vector<Simd> Supported() {
  std::vector<Simd> versions = {Simd::kPlain};
  if (BestSimd() != Simd::kPlain) versions.push_back(Simd::kAvx2);
  if (BestSimd() == Simd::kAvx512) versions.push_back(Simd::kAvx512);
  return versions;
}

struct Rows {
  std::vector<float> row, slots, gradient;
};

Rows Random(std::size_t size) {
  std::mt19937 random(static_cast<std::uint32_t>(size));
  std::normal_distribution<float> normal;
  Rows rows;
  for (std::size_t i = 0; i < size; ++i) {
    rows.row.push_back(normal(random));
    rows.slots.push_back(std::fabs(normal(random)));
    rows.gradient.push_back(normal(random));
  }
  return rows;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() ||
          std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

TEST(Simd, AllVersionsComputeTheSameBits) {
  for (std::size_t size = 0; size < 200; ++size) {
    const Rows before = Random(size);
    Rows plain;
    for (const Simd simd : Supported()) {
      Rows rows = before;
      for (int step = 0; step < 3; ++step) {
        RunFor(simd, [&]() HET_LOOP {
          for (std::size_t i = 0; i < size; ++i) {
            const float gradient = rows.gradient[i];
            rows.slots[i] += gradient * gradient;
            rows.row[i] -= 0.1f * gradient / std::sqrt(rows.slots[i] + 1e-7f);
          }
        });
      }
      if (simd == Simd::kPlain) plain = rows;
      EXPECT_TRUE(SameBits(rows.row, plain.row))
          << "version " << static_cast<int>(simd) << ", size " << size;
      EXPECT_TRUE(SameBits(rows.slots, plain.slots))
          << "version " << static_cast<int>(simd) << ", size " << size;
    }
    if (size > 0) {
      EXPECT_FALSE(SameBits(plain.row, before.row));
    }
  }
}

TEST(Simd, TheBestVersionIsTheOneThatRuns) {
  int runs = 0;
  RunVectorized([&]() HET_LOOP { ++runs; });
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace het
