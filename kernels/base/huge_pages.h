// HugePages: an allocator for large tables that are read at random places.
//
// What is large enough to fill them asks the kernel for huge pages (madvise),
// so that one entry of the processor's translation buffer covers two megabytes
// instead of four kilobytes; smaller pieces start at a cache line. Where the
// kernel has none to give everything works alike, slower. What is larger than a
// huge page comes from the kernel and goes back to it: a table that grows by
// doubling would leave as much as it has with malloc.
//
// Stateless and thread-safe.

#ifndef HET_TF_KERNELS_BASE_HUGE_PAGES_H_
#define HET_TF_KERNELS_BASE_HUGE_PAGES_H_

#include <cstddef>
#include <new>

#include <sys/mman.h>

namespace het {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Memory from the kernel, at a multiple of kHugePageBytes, rounded up to
// multiples of it; nothing of it is there before it is touched. Throws
// std::bad_alloc.
void* MapHugePages(std::size_t bytes);
void UnmapHugePages(void* memory, std::size_t bytes);

template <typename T>
struct HugePages {
  using value_type = T;

  HugePages() = default;
  template <typename U>
  HugePages(const HugePages<U>&) {}  // NOLINT: as the standard wants it

  T* allocate(std::size_t n) {
    if (n * sizeof(T) > kHugePageBytes) {
      return static_cast<T*>(MapHugePages(n * sizeof(T)));
    }
    void* memory =
        ::operator new(n * sizeof(T), std::align_val_t{Alignment(n)});
    // Its only failure is that there are none.
    if (Alignment(n) == kHugePageBytes) {
      (void)madvise(memory, n * sizeof(T), MADV_HUGEPAGE);
    }
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t n) {
    if (n * sizeof(T) > kHugePageBytes) {
      UnmapHugePages(memory, n * sizeof(T));
      return;
    }
    ::operator delete(memory, std::align_val_t{Alignment(n)});
  }

  friend bool operator==(const HugePages&, const HugePages&) { return true; }
  friend bool operator!=(const HugePages&, const HugePages&) { return false; }

 private:
  static constexpr std::size_t Alignment(std::size_t n) {
    return n * sizeof(T) >= kHugePageBytes ? kHugePageBytes : 64;
  }
};

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_HUGE_PAGES_H_
