#include "kernels/base/buffers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/base/huge_pages.h"
#include "kernels/base/mutex.h"

namespace het {
namespace {

// Smaller ones malloc keeps by itself.
constexpr std::size_t kLeastBytes = std::size_t{64} << 10;

struct Buffer {
  char* begin = nullptr;
  std::size_t bytes = 0;
};

void Free(const Buffer& buffer) {
  HugePages<char>().deallocate(buffer.begin, buffer.bytes);
}

class Kept {
 public:
  // One of this very size, or none.
  Buffer Take(std::size_t bytes) {
    MutexLock lock(&mutex_);
    const auto found =
        std::find_if(buffers_.rbegin(), buffers_.rend(),
                     [&](const Buffer& kept) { return kept.bytes == bytes; });
    if (found == buffers_.rend()) return {};
    const Buffer taken = *found;
    buffers_.erase(std::prev(found.base()));
    bytes_ -= taken.bytes;
    return taken;
  }

  void Give(const Buffer& buffer) {
    std::vector<Buffer> dropped;
    {
      MutexLock lock(&mutex_);
      buffers_.push_back(buffer);
      bytes_ += buffer.bytes;
      while (bytes_ > kKeptBufferBytes) {
        dropped.push_back(buffers_.front());
        bytes_ -= buffers_.front().bytes;
        buffers_.erase(buffers_.begin());
      }
    }
    for (const Buffer& old : dropped) Free(old);
  }

 private:
  Mutex mutex_;
  std::vector<Buffer> buffers_ HET_GUARDED_BY(mutex_);  // the newest last
  std::size_t bytes_ HET_GUARDED_BY(mutex_) = 0;
};

// Never destroyed: a thread may give a buffer back when the process ends.
Kept* KeptBuffers() {
  static Kept* const kept = new Kept;
  return kept;
}

// A power of two, so that messages of about the same size share buffers. What
// is never touched costs address space alone.
std::size_t RoundUp(std::size_t bytes) {
  std::size_t rounded = kLeastBytes;
  while (rounded < bytes) rounded *= 2;
  return rounded;
}

}  // namespace

std::shared_ptr<void> TakeBuffer(std::size_t bytes) {
  if (bytes < kLeastBytes || bytes > kKeptBufferBytes) {
    char* memory = HugePages<char>().allocate(bytes);
    return {memory, [bytes](char* unused) { Free({unused, bytes}); }};
  }
  Buffer buffer = KeptBuffers()->Take(RoundUp(bytes));
  if (buffer.begin == nullptr) {
    buffer = {HugePages<char>().allocate(RoundUp(bytes)), RoundUp(bytes)};
  }
  return {buffer.begin, [size = buffer.bytes](char* unused) {
            KeptBuffers()->Give({unused, size});
          }};
}

}  // namespace het
