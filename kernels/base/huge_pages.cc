#include "kernels/base/huge_pages.h"

#include <cstdint>

namespace het {
namespace {

std::size_t WholePages(std::size_t bytes) {
  return (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
}

}  // namespace

void* MapHugePages(std::size_t bytes) {
  const std::size_t size = WholePages(bytes);
  if (size < bytes || size + kHugePageBytes < size) throw std::bad_alloc();
  void* const mapped = mmap(nullptr, size + kHugePageBytes,
                            PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  // What lies before the first whole page, and behind the last, goes back; these
  // calls fail only for addresses that are not mapped.
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped);
  const std::uintptr_t aligned = WholePages(begin);
  const std::size_t before = aligned - begin;
  if (before > 0) (void)munmap(mapped, before);
  (void)munmap(reinterpret_cast<void*>(aligned + size),
               kHugePageBytes - before);
  void* const memory = reinterpret_cast<void*>(aligned);
  (void)madvise(memory, size, MADV_HUGEPAGE);  // fails where there are none
  return memory;
}

void UnmapHugePages(void* memory, std::size_t bytes) {
  (void)munmap(memory, WholePages(bytes));
}

}  // namespace het
