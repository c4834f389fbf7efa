// HugePages: where memory starts, that it can be used to its end, and that it
// goes back.

#include "kernels/base/huge_pages.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <new>
#include <vector>

namespace het {
namespace {

std::size_t MappedBytes() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t ResidentBytes() {
  std::size_t all = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> all >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Much less than a huge page: what the process touches besides.
constexpr std::size_t kBeside = std::size_t{256} << 10;

TEST(HugePages, LargePiecesStartAtHugePagesAndAreUsableToTheEnd) {
  HugePages<char> allocator;
  for (const std::size_t size :
       {kHugePageBytes, kHugePageBytes + 1, 2 * kHugePageBytes,
        3 * kHugePageBytes - 1, 5 * kHugePageBytes + 4097}) {
    std::vector<char*> pieces;
    for (int i = 0; i < 4; ++i) {
      char* const piece = allocator.allocate(size);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % kHugePageBytes, 0u);
      piece[0] = static_cast<char>(i);
      piece[size - 1] = static_cast<char>(i);
      pieces.push_back(piece);
    }
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(pieces[static_cast<std::size_t>(i)][0], i);
      EXPECT_EQ(pieces[static_cast<std::size_t>(i)][size - 1], i);
      allocator.deallocate(pieces[static_cast<std::size_t>(i)], size);
    }
  }
}

TEST(HugePages, SmallPiecesStartAtCacheLines) {
  HugePages<float> allocator;
  float* const piece = allocator.allocate(5);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % 64, 0u);
  allocator.deallocate(piece, 5);
}

TEST(HugePages, PiecesBelowAHugePageAreUsableToTheEnd) {
  HugePages<char> allocator;
  for (const std::size_t size :
       {kLeastMappedBytes - 1, kLeastMappedBytes, kLeastMappedBytes + 1,
        kHugePageBytes - 1}) {
    char* const piece = allocator.allocate(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % 64, 0u);
    piece[0] = piece[size - 1] = 1;
    allocator.deallocate(piece, size);
  }
}

TEST(HugePages, WhatIsGivenBackGoesBackToTheKernel) {
  HugePages<char> allocator;
  {
    const std::size_t before = MappedBytes();
    char* const piece = allocator.allocate(kLeastMappedBytes);
    EXPECT_GE(MappedBytes(), before + kLeastMappedBytes);
    allocator.deallocate(piece, kLeastMappedBytes);
    EXPECT_LT(MappedBytes(), before + kLeastMappedBytes);
  }
  constexpr std::size_t kLarge = 64 * kHugePageBytes;
  const std::size_t before = MappedBytes();
  char* const piece = allocator.allocate(kLarge);
  EXPECT_GE(MappedBytes(), before + kLarge);
  // No more than the piece: what aligned it has gone back.
  EXPECT_LT(MappedBytes(), before + kLarge + kHugePageBytes);
  allocator.deallocate(piece, kLarge);
  EXPECT_LT(MappedBytes(), before + kHugePageBytes);
}

TEST(HugePages, WhatIsUsedIsThereAndLittleElse) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is resident, too";
#endif
  constexpr std::size_t kUsed = 4 * kHugePageBytes + 5000;
  {
    SCOPED_TRACE("to the end");
    const std::size_t before = ResidentBytes();
    void* const memory = MapPages(kUsed);
    std::memset(memory, 1, kUsed);
    EXPECT_GE(ResidentBytes(), before + kUsed);
    EXPECT_LT(ResidentBytes(), before + kUsed + kBeside);
    UnmapPages(memory, kUsed);
  }
  for (const std::size_t more :
       {std::size_t{0}, kHugePageBytes, 3 * kHugePageBytes + 1}) {
    SCOPED_TRACE(testing::Message() << "of " << kUsed << " + " << more);
    const std::size_t before = ResidentBytes();
    char* const memory = static_cast<char*>(MapPages(kUsed + more));
    ExpectUse(memory, kUsed + more, kUsed);
    std::memset(memory, 1, kUsed);
    EXPECT_GE(ResidentBytes(), before + kUsed);
    EXPECT_LT(ResidentBytes(), before + kUsed + kBeside);
    // All of it can be used nevertheless.
    std::memset(memory, 1, kUsed + more);
    UnmapPages(memory, kUsed + more);
  }
}

TEST(HugePages, RefusesWhatThereIsNotInTheWorld) {
  EXPECT_THROW(MapPages(std::numeric_limits<std::size_t>::max()),
               std::bad_alloc);
  EXPECT_THROW(MapPages(std::size_t{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace het
