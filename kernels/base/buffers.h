// Buffers: memory of messages and their rows, kept for the next one.
//
// An exchange takes megabytes and gives them back, exchange after exchange.
// From malloc they come as fresh pages, and a third of a large exchange is then
// page faults. So what is large enough is kept when its last owner goes, the
// newest, up to a limit for the whole process.
//
// Ownership: shared by whoever holds the pointer, on any thread; a buffer may
// outlive everything else.
// Thread-safety: all from any thread. Lock order: its mutex is a leaf, held for
// no longer than it takes to look through a few entries.

#ifndef HET_TF_KERNELS_BASE_BUFFERS_H_
#define HET_TF_KERNELS_BASE_BUFFERS_H_

#include <cstddef>
#include <memory>

namespace het {

// The most that is kept while nobody uses it.
constexpr std::size_t kKeptBufferBytes = std::size_t{64} << 20;

// At least `bytes` bytes, with whatever they held. Aligned to a cache line.
// Throws std::bad_alloc.
std::shared_ptr<void> TakeBuffer(std::size_t bytes);

template <typename T>
std::shared_ptr<T[]> TakeArray(std::size_t size) {
  const std::shared_ptr<void> buffer = TakeBuffer(size * sizeof(T));
  return std::shared_ptr<T[]>(buffer, static_cast<T*>(buffer.get()));
}

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_BUFFERS_H_
