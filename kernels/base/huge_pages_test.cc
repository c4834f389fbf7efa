// HugePages: where memory starts, that it can be used to its end, and that it
// goes back.

#include "kernels/base/huge_pages.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdint>
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

TEST(HugePages, RefusesWhatThereIsNotInTheWorld) {
  EXPECT_THROW(MapPages(std::numeric_limits<std::size_t>::max()),
               std::bad_alloc);
  EXPECT_THROW(MapPages(std::size_t{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace het
