// The kernels' bodies, run on the CPU: against the cache's arithmetic and the
// rules of consistency/, elements in any order.

#include "kernels/gpu/row_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/cache/row_math.h"
#include "kernels/cache/unique_ids.h"

namespace het {
namespace {

using Floats = std::vector<float>;

Floats RandomFloats(std::size_t size, std::mt19937* random) {
  std::normal_distribution<float> normal(0, 3);
  Floats values(size);
  for (float& value : values) value = normal(*random);
  return values;
}

UniqueIds RandomBatch(std::size_t size, std::mt19937* random) {
  std::vector<RowId> ids(size);
  for (RowId& id : ids) {
    id = static_cast<RowId>((*random)() % (size / 4 + 1)) - 5;
  }
  UniqueIds unique;
  unique.Begin(size);
  unique.Add(ids);
  unique.Number();
  unique.Invert();
  return unique;
}

std::vector<std::uint32_t> Begins(const UniqueIds& unique) {
  std::vector<std::uint32_t> begins;
  for (std::size_t u = 0; u <= unique.ids().size(); ++u) {
    begins.push_back(unique.begin(u));
  }
  return begins;
}

// As threads would: each element once, in no order.
template <typename Kernel>
void RunShuffled(const Kernel& kernel, std::mt19937* random) {
  std::vector<std::size_t> order(kernel.size());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), *random);
  for (const std::size_t i : order) kernel.Write(i);
}

bool SameBits(const Floats& a, const Floats& b) {
  if (a.size() != b.size()) return false;
  if (a.empty()) return true;  // then data() may be null
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(RowKernels, GatherPutsTheRowOfEveryPlaceThere) {
  std::mt19937 random(1);
  for (const std::size_t dimension : {1, 3, 16, 130}) {
    for (const std::size_t count : {0, 1, 5, 200}) {
      const UniqueIds unique = RandomBatch(count, &random);
      const Floats rows =
          RandomFloats(unique.ids().size() * dimension, &random);
      Floats output(count * dimension), expected;
      for (const std::uint32_t u : unique.inverse()) {
        const auto row = rows.begin() + static_cast<long>(u * dimension);
        expected.insert(expected.end(), row,
                        row + static_cast<long>(dimension));
      }
      GatherRows gather;
      gather.rows = rows.data();
      gather.inverse = unique.inverse().data();
      gather.dimension = dimension;
      gather.count = count;
      gather.output = output.data();
      RunShuffled(gather, &random);
      EXPECT_TRUE(SameBits(output, expected)) << dimension << " " << count;
    }
  }
}

TEST(RowKernels, MergedGradientsHaveTheBitsOfTheCache) {
  std::mt19937 random(2);
  for (const std::size_t dimension : {1, 3, 8, 16, 130}) {
    for (const std::size_t count : {0, 1, 5, 400}) {
      const UniqueIds unique = RandomBatch(count, &random);
      const Floats gradients = RandomFloats(count * dimension, &random);
      const std::vector<std::uint32_t> begins = Begins(unique);
      const std::size_t distinct = unique.ids().size();
      Floats output(distinct * dimension), expected(distinct * dimension);
      const BatchGradients batch{gradients.data(), unique.positions().data(),
                                 dimension, 1};
      Floats row(dimension);
      for (std::size_t u = 0; u < distinct; ++u) {
        ApplyOccurrences(batch, unique.begin(u), unique.begin(u + 1),
                         unique.begin(u + 1), 1, 0, row.data(),
                         expected.data() + u * dimension);
      }
      MergeGradients merge;
      merge.gradients = gradients.data();
      merge.positions = unique.positions().data();
      merge.begins = begins.data();
      merge.dimension = dimension;
      merge.count = distinct;
      merge.output = output.data();
      RunShuffled(merge, &random);
      EXPECT_TRUE(SameBits(output, expected)) << dimension << " " << count;
    }
  }
}

TEST(RowKernels, GradientsAreAddedInTheOrderOfTheirOccurrences) {
  // Any other order gives another sum.
  const Floats gradients = {1e8f, 1.0f, -1e8f, 1.0f};
  const std::vector<std::uint32_t> positions = {0, 1, 2, 3}, begins = {0, 4};
  float sum = 0;
  MergeGradients merge;
  merge.gradients = gradients.data();
  merge.positions = positions.data();
  merge.begins = begins.data();
  merge.dimension = 1;
  merge.count = 1;
  merge.output = &sum;
  RunOnHost(merge);
  EXPECT_EQ(sum, 1.0f);
}

TEST(RowKernels, ClocksAreCheckedAsConsistencySays) {
  const std::vector<Clock> some = {
      0, 1, 2, 5, 6, 7, kUnboundedStaleness - 1, kUnboundedStaleness};
  std::vector<Clock> start, current, global;
  for (const Clock s : some) {
    for (const Clock c : some) {
      for (const Clock g : some) {
        start.push_back(s);
        current.push_back(c);
        global.push_back(g);
      }
    }
  }
  std::mt19937 random(3);
  for (const Staleness staleness :
       {Staleness{0}, Staleness{1}, Staleness{5}, kUnboundedStaleness}) {
    const std::unique_ptr<bool[]> valid(new bool[start.size()]);
    CheckClocks check;
    check.start = start.data();
    check.current = current.data();
    check.global = global.data();
    check.staleness = staleness;
    check.count = start.size();
    check.valid = valid.get();
    RunShuffled(check, &random);
    for (std::size_t i = 0; i < start.size(); ++i) {
      // c_c <= c_s + s and c_g <= c_c + s, without overflow.
      const bool expected =
          (current[i] <= start[i] || current[i] - start[i] <= staleness) &&
          (global[i] <= current[i] || global[i] - current[i] <= staleness);
      EXPECT_EQ(valid[i], expected)
          << start[i] << " " << current[i] << " " << global[i] << " "
          << staleness;
    }
  }
}

}  // namespace
}  // namespace het
