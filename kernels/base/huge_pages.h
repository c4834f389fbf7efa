// HugePages: an allocator for large tables that are read at random places.
//
// What is large enough to fill them asks the kernel for huge pages (madvise),
// so that one entry of the processor's translation buffer covers two megabytes
// instead of four kilobytes; smaller pieces start at a cache line. Where the
// kernel has none to give everything works alike, slower. What is not small comes
// from the kernel and goes back to it: a table that grows by doubling would leave
// as much as it has with malloc.
//
// Stateless and thread-safe.

#ifndef HET_TF_KERNELS_BASE_HUGE_PAGES_H_
#define HET_TF_KERNELS_BASE_HUGE_PAGES_H_

#include <cstddef>
#include <new>

namespace het {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// From so many bytes on memory is taken from the kernel. Not for less: a process
// may have some ten thousand pieces of it.
constexpr std::size_t kLeastMappedBytes = std::size_t{512} << 10;

// Memory from the kernel, rounded up to whole pages; from kHugePageBytes on it
// starts at a multiple of that, and what does not fill the last huge page has small
// ones. Nothing of it is there before it is touched. Throws std::bad_alloc.
void* MapPages(std::size_t bytes);
void UnmapPages(void* memory, std::size_t bytes);

// Of `bytes` that MapPages gave, before they are touched: no more than the first
// `used` are likely to be. The huge page that would be there for its beginning alone
// becomes small pages.
void ExpectUse(void* memory, std::size_t bytes, std::size_t used);

template <typename T>
struct HugePages {
  using value_type = T;

  HugePages() = default;
  template <typename U>
  HugePages(const HugePages<U>&) {}  // NOLINT: as the standard wants it

  T* allocate(std::size_t n) {
    if (n * sizeof(T) >= kLeastMappedBytes) {
      return static_cast<T*>(MapPages(n * sizeof(T)));
    }
    return static_cast<T*>(::operator new(n * sizeof(T), kLine));
  }
  void deallocate(T* memory, std::size_t n) {
    if (n * sizeof(T) >= kLeastMappedBytes) {
      UnmapPages(memory, n * sizeof(T));
      return;
    }
    ::operator delete(memory, kLine);
  }

  friend bool operator==(const HugePages&, const HugePages&) { return true; }
  friend bool operator!=(const HugePages&, const HugePages&) { return false; }

 private:
  static constexpr std::align_val_t kLine{64};
};

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_HUGE_PAGES_H_
