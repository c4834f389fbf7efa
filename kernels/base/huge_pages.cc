#include "kernels/base/huge_pages.h"

#include <cstdint>

#include <sys/mman.h>

namespace het {
namespace {

constexpr std::size_t kPageBytes = 4096;

std::size_t RoundUp(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

void* Map(std::size_t size) {
  void* const mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  return mapped;
}

}  // namespace

void* MapPages(std::size_t bytes) {
  if (bytes > SIZE_MAX - 2 * kHugePageBytes) throw std::bad_alloc();
  const std::size_t size = RoundUp(bytes, kPageBytes);
  if (size < kHugePageBytes) return Map(size);
  // What lies before the first huge page, and behind the last byte, goes back;
  // these calls fail only for addresses that are not mapped.
  const auto begin =
      reinterpret_cast<std::uintptr_t>(Map(size + kHugePageBytes));
  const std::uintptr_t aligned = RoundUp(begin, kHugePageBytes);
  const std::size_t before = aligned - begin;
  if (before > 0) (void)munmap(reinterpret_cast<void*>(begin), before);
  (void)munmap(reinterpret_cast<void*>(aligned + size),
               kHugePageBytes - before);
  void* const memory = reinterpret_cast<void*>(aligned);
  (void)madvise(memory, size, MADV_HUGEPAGE);  // fails where there are none
  return memory;
}

void UnmapPages(void* memory, std::size_t bytes) {
  (void)munmap(memory, RoundUp(bytes, kPageBytes));
}

void ExpectUse(void* memory, std::size_t bytes, std::size_t used) {
  const std::size_t whole = used / kHugePageBytes * kHugePageBytes;
  if (whole == used || whole + kHugePageBytes > bytes) return;
  (void)madvise(static_cast<char*>(memory) + whole, kHugePageBytes,
                MADV_NOHUGEPAGE);  // fails where there are none
}

}  // namespace het
