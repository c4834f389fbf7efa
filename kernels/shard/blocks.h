// Blocks: memory in blocks of one size that never move, carved out of regions
// that grow to tens of megabytes, so that most of them lie on huge pages and
// none of them has a header of its own.
//
// Ownership: a block lives as long as this object; none is given back alone.
// Memory that nobody has written to yet costs address space alone.
// Thread-safety: all methods may be called from any thread. Lock order: its
// mutex is taken last.

#ifndef HET_TF_KERNELS_SHARD_BLOCKS_H_
#define HET_TF_KERNELS_SHARD_BLOCKS_H_

#include <cstddef>
#include <vector>

#include "kernels/base/huge_pages.h"
#include "kernels/base/mutex.h"

namespace het {

class Blocks {
 public:
  // Blocks start where every multiple of `block_bytes` may: at a cache line, if
  // that is one. REQUIRES: block_bytes > 0.
  explicit Blocks(std::size_t block_bytes) : block_bytes_(block_bytes) {}
  ~Blocks();
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  std::size_t block_bytes() const { return block_bytes_; }

  // A block of zeros or of whatever the memory held. Throws std::bad_alloc.
  char* Take() HET_EXCLUDES(mutex_);

 private:
  struct Region {
    char* begin;
    std::size_t bytes;
  };

  const std::size_t block_bytes_;
  HugePages<char> allocator_;
  mutable Mutex mutex_;
  std::vector<Region> regions_ HET_GUARDED_BY(mutex_);
  char* next_ HET_GUARDED_BY(mutex_) = nullptr;
  std::size_t left_ HET_GUARDED_BY(mutex_) = 0;  // blocks from next_ on
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_BLOCKS_H_
