#include "kernels/shard/blocks.h"

#include <sys/mman.h>

#include <algorithm>

// Of Linux 5.14; an older kernel refuses it, an older C library does not name it.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace het {
namespace {

constexpr std::size_t kFirstRegionBytes = std::size_t{512} << 10;
constexpr std::size_t kLargestRegionBytes = std::size_t{64} << 20;
// Smaller ones are used up before a thread would have been of use.
constexpr std::size_t kProvidedRegionBytes = std::size_t{4} << 20;
constexpr std::size_t kAheadBytes = 2 * kHugePageBytes;

}  // namespace

Blocks::~Blocks() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
  }
  taken_.NotifyAll();
  if (provider_.joinable()) provider_.join();
  MutexLock lock(&mutex_);
  if (upcoming_.begin != nullptr) regions_.push_back(upcoming_);
  for (const Region& region : regions_) {
    allocator_.deallocate(region.begin, region.bytes);
  }
}

char* Blocks::Take() {
  MutexLock lock(&mutex_);
  if (left_ == 0) {
    Use(upcoming_.begin != nullptr ? upcoming_ : Allocate(NextBytes()));
    upcoming_ = {};
    if (!provider_.joinable() &&
        regions_.back().bytes >= kProvidedRegionBytes) {
      provider_ = std::thread([this] { ProvideAhead(); });
    }
  }
  char* block = next_;
  next_ += block_bytes_;
  --left_;
  taken_.NotifyAll();  // costs nothing when nobody waits
  return block;
}

std::size_t Blocks::NextBytes() const {
  const std::size_t wanted =
      regions_.empty() ? kFirstRegionBytes
                       : std::min(2 * regions_.back().bytes,
                                  kLargestRegionBytes);
  return std::max(wanted, block_bytes_);
}

Blocks::Region Blocks::Allocate(std::size_t bytes) {
  return {allocator_.allocate(bytes), bytes, 0};
}

void Blocks::Use(const Region& region) {
  regions_.push_back(region);
  next_ = region.begin;
  left_ = region.bytes / block_bytes_;
}

void Blocks::ProvideAhead() {
  MutexLock lock(&mutex_);
  while (!closing_) {
    const Span<char> piece = NextPiece();
    if (piece.empty()) {
      taken_.Wait(&mutex_);
      continue;
    }
    mutex_.Unlock();
    const int failed =
        madvise(piece.data(), piece.size(), MADV_POPULATE_WRITE);
    mutex_.Lock();
    // The pages then come when they are touched, as without this thread.
    if (failed != 0) return;
  }
}

Span<char> Blocks::NextPiece() {
  const auto take = [](Region* region) {
    const std::size_t provided = region->provided;
    const std::size_t bytes =
        std::min(kHugePageBytes, region->bytes - provided);
    region->provided += bytes;
    return Span<char>(region->begin + provided, bytes);
  };
  Region& region = regions_.back();
  const auto used = static_cast<std::size_t>(next_ - region.begin);
  // The page of the next block is being touched already.
  region.provided = std::max(region.provided, used / kHugePageBytes * kHugePageBytes);
  const std::size_t wanted = used + kAheadBytes;
  if (region.provided < std::min(wanted, region.bytes)) return take(&region);
  if (wanted <= region.bytes) return {};
  if (upcoming_.begin == nullptr) upcoming_ = Allocate(NextBytes());
  const std::size_t beyond = std::min(wanted - region.bytes, upcoming_.bytes);
  return upcoming_.provided < beyond ? take(&upcoming_) : Span<char>();
}

}  // namespace het
