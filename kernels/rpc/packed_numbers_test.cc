// Packed numbers: any order and the whole range of int64, small when sorted.

#include "kernels/rpc/packed_numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace het {
namespace {

constexpr RowId kLowest = std::numeric_limits<RowId>::min();
constexpr RowId kHighest = std::numeric_limits<RowId>::max();

std::vector<std::uint8_t> Pack(const std::vector<RowId>& ids) {
  std::vector<std::uint8_t> bytes(PackedIdsSize(ids));
  WritePackedIds(ids, bytes.data());
  return bytes;
}

std::vector<RowId> Unpack(const std::vector<std::uint8_t>& bytes) {
  std::vector<RowId> ids;
  EXPECT_TRUE(ReadPackedIds(bytes, &ids));
  return ids;
}

TEST(PackedNumbers, IdsOfAnyOrderAndRangeSurvive) {
  const std::vector<RowId> extreme = {kLowest, kHighest, kLowest, 0,
                                      kHighest, -1,      1,       kLowest + 1};
  EXPECT_EQ(Unpack(Pack(extreme)), extreme);
  EXPECT_TRUE(Unpack(Pack({})).empty());
  std::mt19937_64 random(1);
  for (int i = 0; i < 200; ++i) {
    std::vector<RowId> ids(random() % 300);
    for (RowId& id : ids) {
      id = static_cast<RowId>(random()) >> random() % 64;
    }
    if (i % 2 == 0) std::sort(ids.begin(), ids.end());
    EXPECT_EQ(Unpack(Pack(ids)), ids);
  }
}

TEST(PackedNumbers, SortedIdsTakeFewBytes) {
  std::vector<RowId> ids;
  for (RowId id = 0; id < 1000; ++id) ids.push_back((RowId{1} << 40) + 50 * id);
  EXPECT_EQ(Pack(ids).size(), 999 + 6u);
  std::vector<RowId> same(1000, kLowest);
  EXPECT_EQ(Pack(same).size(), 999 + 10u);
}

TEST(PackedNumbers, AFieldInSeveralPiecesGoesOn) {
  const std::vector<RowId> ids = {5, kHighest, -7};
  const std::vector<std::uint8_t> bytes = Pack(ids);
  std::vector<RowId> read;
  ASSERT_TRUE(ReadPackedIds({bytes.data(), 1}, &read));
  ASSERT_TRUE(ReadPackedIds({bytes.data() + 1, bytes.size() - 1}, &read));
  EXPECT_EQ(read, ids);
}

TEST(PackedNumbers, BytesThatAreNoVarintsAreRefused) {
  std::vector<RowId> ids;
  std::vector<Clock> clocks;
  EXPECT_FALSE(ReadPackedIds(std::vector<std::uint8_t>{1, 0x80}, &ids));
  std::vector<std::uint8_t> eleven(10, 0xff);
  eleven.push_back(1);
  EXPECT_FALSE(ReadPackedIds(eleven, &ids));
  EXPECT_FALSE(ReadPackedClocks(eleven, &clocks));
  std::vector<std::uint8_t> ten(9, 0xff);
  ten.push_back(1);
  clocks.clear();
  EXPECT_TRUE(ReadPackedClocks(ten, &clocks));
  EXPECT_EQ(clocks, std::vector<Clock>{-1});
}

TEST(PackedNumbers, ClocksSurviveWithTheBaseThatMakesThemSmall) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    std::vector<Clock> clocks(random() % 100);
    const auto base = static_cast<Clock>(random() >> (1 + random() % 63));
    for (Clock& clock : clocks) {
      const auto above = static_cast<Clock>(random() % 200);
      clock = base > kHighest - above ? base : base + above;
    }
    const PackedClocks packed = MeasureClocks(clocks);
    std::vector<std::uint8_t> bytes(packed.size);
    WritePackedClocks(clocks, packed.base, bytes.data());
    std::vector<Clock> read;
    ASSERT_TRUE(ReadPackedClocks(bytes, &read));
    AddBase(packed.base, &read);
    ASSERT_EQ(read, clocks);
    ASSERT_LE(packed.size, 2 * clocks.size() + 10);
  }
  // A base that saves nothing is not written.
  EXPECT_EQ(MeasureClocks(std::vector<Clock>{1000}).base, 0u);
  EXPECT_EQ(MeasureClocks(std::vector<Clock>{1, 100}).base, 0u);
  EXPECT_EQ(MeasureClocks(std::vector<Clock>(9, 1000)).base, 1000u);
  EXPECT_EQ(MeasureClocks({}).size, 0u);
}

}  // namespace
}  // namespace het
