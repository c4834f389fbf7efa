// MessageWriter: writes one protobuf message into a gRPC slice of its own and
// refers to large payloads where they lie.
//
// Used twice with the same calls: a first pass without memory measures, a
// second one writes. Payloads of 4-byte values are aligned: their length prefix
// is stretched with continuation bytes, which protobuf allows, up to the five
// bytes that its C++ parser reads of a length; beyond that the tag is.
//
// A short-lived value; not thread-safe.

#ifndef HET_TF_KERNELS_RPC_MESSAGE_WRITER_H_
#define HET_TF_KERNELS_RPC_MESSAGE_WRITER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/rpc/packed_numbers.h"

namespace het {

class MessageWriter {
 public:
  enum WireType : std::uint32_t {
    kVarint = 0,
    kFixed64 = 1,
    kBytes = 2,
    kFixed32 = 5
  };

  // Smaller payloads are copied: a slice of their own costs more than that.
  static constexpr std::size_t kLeastReference = std::size_t{16} << 10;

  // Measures.
  MessageWriter() = default;
  // Writes what takes as many bytes as `measured` has found.
  explicit MessageWriter(const MessageWriter& measured)
      : own_(measured.size_ - measured.referred_),
        to_(const_cast<std::uint8_t*>(own_.begin())) {}
  MessageWriter& operator=(const MessageWriter&) = delete;

  std::size_t size() const { return size_; }

  // The message. REQUIRES: all of it has been written.
  grpc::ByteBuffer Take() {
    EndPiece();
    return grpc::ByteBuffer(pieces_.data(), pieces_.size());
  }

  void Tag(std::uint32_t field, WireType type) { Varint(field << 3 | type); }
  void Varint(std::uint64_t value) { PaddedVarint(value, VarintSize(value)); }
  void Fixed64(std::uint64_t value) { Raw(&value, sizeof value); }

  // A field of the number, which is left out when it is 0.
  void VarintField(std::uint32_t field, std::uint64_t value) {
    if (value == 0) return;
    Tag(field, kVarint);
    Varint(value);
  }

  void Raw(const void* data, std::size_t bytes) {
    Content(bytes, [&](std::uint8_t* to) { std::memcpy(to, data, bytes); });
  }

  // `write(to)` writes `bytes` bytes; it is not called when measuring, nor for
  // nothing.
  template <typename Write>
  void Content(std::size_t bytes, Write write) {
    if (to_ != nullptr && bytes > 0) write(to_ + (size_ - referred_));
    size_ += bytes;
  }

  // Content that stays where `owner` keeps it, unchanged, until it is sent.
  void Refer(const void* data, std::size_t bytes,
             const std::shared_ptr<const void>& owner) {
    if (to_ != nullptr) {
      EndPiece();
      pieces_.emplace_back(
          const_cast<void*>(data), bytes,
          [](void* held) {
            delete static_cast<std::shared_ptr<const void>*>(held);
          },
          new std::shared_ptr<const void>(owner));
    }
    size_ += bytes;
    referred_ += bytes;
  }

  void Header(std::uint32_t field, std::size_t bytes) {
    Tag(field, kBytes);
    Varint(bytes);
  }

  // Writes the header of a bytes field whose content starts at a multiple of 4.
  void AlignedHeader(std::uint32_t field, std::size_t bytes) {
    constexpr std::size_t kLongestLength = 5;
    const std::uint32_t tag = field << 3 | kBytes;
    std::size_t tag_width = VarintSize(tag);
    std::size_t width = VarintSize(bytes);
    while ((size_ + tag_width + width) % 4 != 0) {
      ++(width < kLongestLength ? width : tag_width);
    }
    PaddedVarint(tag, tag_width);
    PaddedVarint(bytes, width);
  }

 private:
  void PaddedVarint(std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) {
      const bool more = i + 1 < width;
      if (to_ != nullptr) {
        to_[size_ - referred_ + i] =
            static_cast<std::uint8_t>((value & 0x7f) | (more ? 0x80 : 0));
      }
      value >>= 7;
    }
    size_ += width;
  }

  // What has been written since the last piece becomes one.
  void EndPiece() {
    const std::size_t end = size_ - referred_;
    if (end > ended_) pieces_.push_back(own_.sub(ended_, end));
    ended_ = end;
  }

  const grpc::Slice own_;
  std::uint8_t* const to_ = nullptr;  // null when measuring
  std::size_t size_ = 0;
  std::size_t referred_ = 0;  // bytes of these that are not its own
  std::vector<grpc::Slice> pieces_;
  std::size_t ended_ = 0;  // its own bytes in pieces_
};

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_MESSAGE_WRITER_H_
