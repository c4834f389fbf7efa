// Reading a received protobuf message field by field.
//
// Pure functions; a piece views the message, which its owner keeps alive.
// Nothing is believed: what the bytes say is checked before it is used.

#ifndef HET_TF_KERNELS_RPC_MESSAGE_READER_H_
#define HET_TF_KERNELS_RPC_MESSAGE_READER_H_

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"

namespace het {

inline Status Malformed(const char* what) {
  return DataLoss("a message from the wire is malformed: ", what);
}

// A piece of a received message.
struct Piece {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
};

// Bytes of a tag or a length: no protobuf library reads more of either.
inline constexpr int kLongestVarint32 = 5;

// Walks over the fields of one message; visit(field, value, bytes) gets the
// number of a varint or fixed field, or the content of a bytes field, and
// returns a status. `types[field]` is the wire type of a known field: '0' a
// varint, '1' fixed64, '2' bytes, '5' fixed32. Repeated numbers have to be
// packed, which is what every proto3 library writes.
template <typename Visit>
Status ForEachField(Piece message, std::string_view types, Visit visit) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(message.data,
                                            static_cast<int>(message.size));
  int begin = 0;  // of the field
  while (const std::uint32_t tag = in.ReadTag()) {
    if (in.CurrentPosition() - begin > kLongestVarint32) {
      return Malformed("a tag is too long");
    }
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    std::uint64_t number = 0;
    std::uint32_t number32 = 0;
    Piece bytes;
    const int type = WireFormatLite::GetTagWireType(tag);
    const auto known = static_cast<std::size_t>(field);
    if (known == 0) return Malformed("a field has the number 0");
    if (known < types.size() && types[known] - '0' != type) {
      return Malformed("a field has another wire type than in shard.proto");
    }
    switch (type) {
      case WireFormatLite::WIRETYPE_VARINT:
        if (!in.ReadVarint64(&number)) return Malformed("a varint is cut off");
        break;
      case WireFormatLite::WIRETYPE_FIXED64:
        if (!in.ReadLittleEndian64(&number)) {
          return Malformed("a fixed64 is cut off");
        }
        break;
      case WireFormatLite::WIRETYPE_FIXED32:
        if (!in.ReadLittleEndian32(&number32)) {
          return Malformed("a fixed32 is cut off");
        }
        number = number32;
        break;
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED: {
        const int length = in.CurrentPosition();
        if (!in.ReadVarint64(&number)) return Malformed("a length is cut off");
        if (in.CurrentPosition() - length > kLongestVarint32) {
          return Malformed("a length is too long");
        }
        const std::size_t at = static_cast<std::size_t>(in.CurrentPosition());
        if (number > message.size - at) {
          return Malformed("a length reaches past the end");
        }
        bytes = {message.data + at, static_cast<std::size_t>(number)};
        in.Skip(static_cast<int>(number));
        break;
      }
      default:
        return Malformed("a field has an unknown wire type");
    }
    HET_RETURN_IF_ERROR(visit(field, number, bytes));
    begin = in.CurrentPosition();
  }
  // A tag that is 0 ends the reading, too, even if it is the last byte.
  if (!in.ConsumedEntireMessage()) return Malformed("a tag is wrong");
  return OkStatus();
}

template <typename T>
Status CopyArray(Piece bytes, std::vector<T>* values) {
  if (bytes.size % sizeof(T) != 0) return Malformed("an array has a torn end");
  const std::size_t old = values->size();
  values->resize(old + bytes.size / sizeof(T));
  if (bytes.size > 0) std::memcpy(values->data() + old, bytes.data, bytes.size);
  return OkStatus();
}

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_MESSAGE_READER_H_
