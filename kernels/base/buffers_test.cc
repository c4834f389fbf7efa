#include "kernels/base/buffers.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace het {
namespace {

constexpr std::size_t kLarge = std::size_t{1} << 20;

TEST(Buffers, ALargeOneIsUsedAgainBySomethingOfAboutItsSize) {
  std::shared_ptr<void> buffer = TakeBuffer(kLarge);
  const void* const place = buffer.get();
  EXPECT_NE(TakeBuffer(kLarge).get(), place);  // it is in use
  std::thread([&] { buffer.reset(); }).join();
  EXPECT_EQ(TakeBuffer(kLarge - 5).get(), place);
  EXPECT_NE(TakeBuffer(kLarge + 5).get(), place);  // it is too small
}

TEST(Buffers, AllOfThemCanBeWritten) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kLarge / 32 + 1, kLarge + 1,
        kKeptBufferBytes + 1}) {
    const std::shared_ptr<std::uint8_t[]> bytes = TakeArray<std::uint8_t>(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.get()) % 64, 0u);
    if (size > 0) bytes[0] = bytes[size - 1] = 1;
  }
}

TEST(Buffers, OnlyTheNewestAreKept) {
  std::vector<std::shared_ptr<void>> all;
  for (std::size_t kept = 0; kept < kKeptBufferBytes + kLarge; kept += kLarge) {
    all.push_back(TakeBuffer(kLarge));
  }
  const void* const newest = all.front().get();
  while (!all.empty()) all.pop_back();
  EXPECT_EQ(TakeBuffer(kLarge).get(), newest);
}

}  // namespace
}  // namespace het
