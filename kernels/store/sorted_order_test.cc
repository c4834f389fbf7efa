// SortedOrder: ascending, stable, the same whichever sort is taken.

#include "kernels/store/sorted_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

namespace het {
namespace {

TEST(SortedOrder, IsThatOfAStableSort) {
  std::mt19937_64 random(1);
  for (const std::size_t size : {0, 1, 2, 100, 599, 600, 1600, 3000, 50000}) {
    for (const int bits : {1, 5, 10, 22, 40, 64}) {
      SCOPED_TRACE(std::to_string(size) + " ids of " + std::to_string(bits));
      std::vector<RowId> ids(size);
      for (RowId& id : ids) id = static_cast<RowId>(random()) >> (64 - bits);
      if (size > 2 && bits == 64) {
        ids[0] = std::numeric_limits<RowId>::max();
        ids[1] = std::numeric_limits<RowId>::min();
        ids[2] = ids[0];
      }
      std::vector<std::uint32_t> expected(size);
      std::iota(expected.begin(), expected.end(), 0u);
      std::stable_sort(expected.begin(), expected.end(),
                       [&](auto a, auto b) { return ids[a] < ids[b]; });
      ASSERT_EQ(SortedOrder(ids), expected);
      std::sort(ids.begin(), ids.end());
      std::iota(expected.begin(), expected.end(), 0u);
      ASSERT_EQ(SortedOrder(ids), expected);
    }
  }
}

}  // namespace
}  // namespace het
