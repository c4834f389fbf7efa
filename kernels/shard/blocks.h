// Blocks: memory in blocks of one size that never move, carved out of regions
// that grow to tens of megabytes, so that most of them lie on huge pages and
// none of them has a header of its own.
//
// The first touch of a huge page takes a while (hundreds of microseconds, some
// milliseconds where a hypervisor has to find the memory). So once the regions
// are large a thread has the kernel provide the pages just ahead of the blocks
// that are taken; whoever is faster than it touches them himself.
//
// Ownership: a block lives as long as this object; none is given back alone.
// Memory that nobody has written to yet costs address space alone, but for the
// few pages ahead.
// Thread-safety: all methods may be called from any thread. Lock order: its
// mutex is taken last; nothing waits while it is held.

#ifndef HET_TF_KERNELS_SHARD_BLOCKS_H_
#define HET_TF_KERNELS_SHARD_BLOCKS_H_

#include <cstddef>
#include <thread>
#include <vector>

#include "kernels/base/huge_pages.h"
#include "kernels/base/mutex.h"
#include "kernels/base/span.h"

namespace het {

class Blocks {
 public:
  // REQUIRES: block_bytes > 0. Every block starts at a multiple of the largest
  // power of two, up to a page, that divides block_bytes.
  explicit Blocks(std::size_t block_bytes) : block_bytes_(block_bytes) {}
  ~Blocks();
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  // A block of whatever the memory held. Throws std::bad_alloc.
  char* Take() HET_EXCLUDES(mutex_);

 private:
  struct Region {
    char* begin = nullptr;
    std::size_t bytes = 0;
    std::size_t provided = 0;  // bytes that have been asked for
  };

  // The size of the region after those that are there.
  std::size_t NextBytes() const HET_REQUIRES(mutex_);
  Region Allocate(std::size_t bytes);
  void Use(const Region& region) HET_REQUIRES(mutex_);
  // The thread's loop, and the next piece that it has to ask for: up to a huge
  // page, or nothing.
  void ProvideAhead();
  Span<char> NextPiece() HET_REQUIRES(mutex_);

  const std::size_t block_bytes_;
  HugePages<char> allocator_;
  Mutex mutex_;
  CondVar taken_;
  std::vector<Region> regions_ HET_GUARDED_BY(mutex_);
  char* next_ HET_GUARDED_BY(mutex_) = nullptr;
  std::size_t left_ HET_GUARDED_BY(mutex_) = 0;  // blocks from next_ on
  // Made by the thread for when the last region is used up.
  Region upcoming_ HET_GUARDED_BY(mutex_);
  bool closing_ HET_GUARDED_BY(mutex_) = false;
  std::thread provider_;  // started by the first Take that finds it worth it
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_BLOCKS_H_
