// The small values of base/: hashes that are fixed for ever, spans,
// incarnations.

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "kernels/base/hash.h"
#include "kernels/base/incarnation.h"
#include "kernels/base/span.h"
#include "kernels/base/types.h"

namespace het {
namespace {

// Computed apart from this code: rows' places and initial values rest on them.
TEST(Hash, IsFixedForEver) {
  static_assert(Mix64(0) == 0);
  EXPECT_EQ(Mix64(1), 0x5692161d100b05e5ULL);
  EXPECT_EQ(Mix64(~std::uint64_t{0}), 0xb4d055fcf2cbbd7bULL);
  EXPECT_EQ(HashName("user_id"), 0xb2a73d29768f940bULL);
  EXPECT_NE(HashName("a"), HashName("b"));
  EXPECT_NE(HashName(""), HashName(std::string_view("\0", 1)));
}

TEST(Hash, EveryInputBitFlipsAboutHalfOfTheOutput) {
  for (int bit = 0; bit < 64; ++bit) {
    int flipped = 0;
    for (std::uint64_t i = 0; i < 200; ++i) {
      const std::uint64_t x = i * 0x9e3779b97f4a7c15ULL;
      flipped += __builtin_popcountll(Mix64(x) ^
                                      Mix64(x ^ (std::uint64_t{1} << bit)));
    }
    EXPECT_NEAR(flipped / 200.0, 32, 2) << "bit " << bit;
  }
}

TEST(Span, ViewsVectorsAndParts) {
  std::vector<int> values = {1, 2, 3, 4};
  const Span<int> span = values;
  span[1] = 20;
  EXPECT_EQ(values[1], 20);
  const Span<const int> constant = span;
  EXPECT_EQ(constant.size(), 4u);
  const Span<const int> part = constant.subspan(1, 2);
  EXPECT_EQ(std::vector<int>(part.begin(), part.end()),
            (std::vector<int>{20, 3}));
  EXPECT_TRUE(Span<int>().empty());
}

TEST(Incarnation, IsNeverZeroAndNeverTheSame) {
  std::set<Incarnation> drawn;
  for (int i = 0; i < 1000; ++i) drawn.insert(DrawIncarnation());
  EXPECT_EQ(drawn.size(), 1000u);
  EXPECT_EQ(drawn.count(0), 0u);
}

}  // namespace
}  // namespace het
