// RowIndex: what is added is found, whatever the hashes share, and segments are
// split one at a time.

#include "kernels/shard/row_index.h"

#include <gtest/gtest.h>

#include <random>

namespace het {
namespace {

class RowIndexTest : public testing::Test {
 protected:
  void Add(std::uint64_t hash) {
    hashes_.push_back(hash);
    index_.Insert(hash, static_cast<std::uint32_t>(hashes_.size() - 1),
                  [this](const std::uint32_t* numbers, std::size_t count,
                         std::uint64_t* out) {
                    moved_ += count;
                    for (std::size_t i = 0; i < count; ++i) {
                      out[i] = hashes_[numbers[i]];
                    }
                  });
  }
  std::uint32_t Find(std::uint64_t hash) const {
    return index_.Find(hash, [&](std::uint32_t number) {
      return hashes_.at(number) == hash;
    });
  }
  void ExpectAllFound() const {
    for (std::size_t i = 0; i < hashes_.size(); ++i) {
      ASSERT_EQ(Find(hashes_[i]), i) << "hash " << hashes_[i];
    }
  }

  Blocks segments_{RowIndex::kSegmentBytes};
  RowIndex index_{&segments_};
  std::vector<std::uint64_t> hashes_;
  std::size_t moved_ = 0;  // rows hashed again by splits
};

TEST_F(RowIndexTest, AnEmptyIndexFindsNothing) {
  EXPECT_EQ(Find(0), RowIndex::kNone);
  EXPECT_EQ(index_.Likely(7), RowIndex::kNone);
  index_.Prefetch(7);
  EXPECT_EQ(index_.memory_bytes(), 0u);
}

TEST_F(RowIndexTest, FindsWhatWasAddedAndNothingElse) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200000; ++i) Add(random());
  ExpectAllFound();
  for (int i = 0; i < 10000; ++i) {
    EXPECT_EQ(Find(random()), RowIndex::kNone);
  }
}

TEST_F(RowIndexTest, OneInsertionMovesNoMoreThanASegment) {
  std::mt19937_64 random(2);
  std::size_t most = 0;
  for (int i = 0; i < 100000; ++i) {
    const std::size_t before = moved_;
    Add(random());
    most = std::max(most, moved_ - before);
  }
  EXPECT_GT(most, 0u);
  EXPECT_LT(most, 1024u);
  EXPECT_LT(moved_, 2 * hashes_.size());
}

TEST_F(RowIndexTest, HashesThatShareTheirLowerBitsFillOtherLines) {
  // All of one home line and tag.
  for (std::uint64_t i = 0; i < 3000; ++i) {
    Add(i << (RowIndex::kHashBits - 12) | 5);
  }
  ExpectAllFound();
  EXPECT_EQ(Find(std::uint64_t{3001} << (RowIndex::kHashBits - 12) | 5),
            RowIndex::kNone);
}

TEST_F(RowIndexTest, HashesThatShareTheirUpperBitsAreSplitUntilTheyDiffer) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 3000; ++i) Add(random() >> 20);  // 10 bits in common
  ExpectAllFound();
  Add(std::uint64_t{1} << 53);  // a segment that the rows left long ago
  ExpectAllFound();
}

TEST_F(RowIndexTest, BitsAboveThoseOfTheHashDoNotMatter) {
  std::mt19937_64 random(4);
  const std::uint64_t above = std::uint64_t{1023} << RowIndex::kHashBits;
  for (int i = 0; i < 5000; ++i) Add(random() | above);
  ExpectAllFound();
  EXPECT_LT(index_.memory_bytes(), 5000u * 12);
}

}  // namespace
}  // namespace het
