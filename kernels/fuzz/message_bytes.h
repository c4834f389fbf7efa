// Messages of the wire from a fuzz target's input, and back to bytes.
//
// The slices of a message are as large as what they hold, on the heap: a
// sanitizer sees a byte too far.

#ifndef HET_TF_KERNELS_FUZZ_MESSAGE_BYTES_H_
#define HET_TF_KERNELS_FUZZ_MESSAGE_BYTES_H_

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/fuzz/target.h"
#include "kernels/rpc/codec.h"

namespace het {

// `shape` says in how many pieces, and where in memory, the message comes.
inline grpc::ByteBuffer MessageOf(Span<const std::uint8_t> bytes,
                                  std::uint8_t shape) {
  const std::size_t pieces = 1 + shape % 4;
  const std::size_t shift = shape / 4 % 8;
  const std::size_t step = bytes.size() / pieces + 1;
  std::vector<grpc::Slice> slices;
  for (std::size_t from = 0; from < bytes.size(); from += step) {
    const std::size_t size = std::min(step, bytes.size() - from);
    auto* memory = new std::uint8_t[shift + size];
    std::memcpy(memory + shift, bytes.data() + from, size);
    const auto free = [](void* owned) {
      delete[] static_cast<std::uint8_t*>(owned);
    };
    slices.emplace_back(memory + shift, size, free, memory);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

inline std::string TextOf(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  Require(message.Dump(&slices).ok(), "a message can be read");
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace het

#endif  // HET_TF_KERNELS_FUZZ_MESSAGE_BYTES_H_
