#include "kernels/shard/blocks.h"

#include <algorithm>

namespace het {
namespace {

constexpr std::size_t kFirstRegionBytes = std::size_t{512} << 10;
constexpr std::size_t kLargestRegionBytes = std::size_t{64} << 20;

}  // namespace

Blocks::~Blocks() {
  MutexLock lock(&mutex_);
  for (const Region& region : regions_) {
    allocator_.deallocate(region.begin, region.bytes);
  }
}

char* Blocks::Take() {
  MutexLock lock(&mutex_);
  if (left_ == 0) {
    const std::size_t wanted =
        regions_.empty()
            ? kFirstRegionBytes
            : std::min(2 * regions_.back().bytes, kLargestRegionBytes);
    const std::size_t bytes = std::max(wanted, block_bytes_);
    regions_.reserve(regions_.size() + 1);
    next_ = allocator_.allocate(bytes);
    regions_.push_back({next_, bytes});
    left_ = bytes / block_bytes_;
  }
  char* block = next_;
  next_ += block_bytes_;
  --left_;
  return block;
}

}  // namespace het
