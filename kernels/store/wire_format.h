// WireFormat: how the values of rows and gradients are written on the wire.
//
// Everything in a process computes with float32; the codec of the rpc room
// converts (rpc/row_formats.h says how), so a store in this process takes no
// notice. The numbers are those of WireFormat in protos/shard.proto.
//
// Plain values; standard library only.

#ifndef HET_TF_KERNELS_STORE_WIRE_FORMAT_H_
#define HET_TF_KERNELS_STORE_WIRE_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/base/status.h"

namespace het {

enum class WireFormat : std::uint8_t {
  kFloat32 = 0,   // exact
  kBfloat16 = 1,  // float32's range, 8 bits of precision
  kFloat16 = 2,   // IEEE binary16: 11 bits of precision, up to 65504
  kInt8 = 3,      // 255 steps between -m and m, the row's largest magnitude
};

inline constexpr const char* kWireFormatNames[] = {"float32", "bfloat16",
                                                   "float16", "int8"};
inline constexpr std::uint64_t kWireFormats = 4;

inline const char* ToString(WireFormat format) {
  return kWireFormatNames[static_cast<std::size_t>(format)];
}

// Bytes of one value. (An int8 row has a scale of four bytes besides.)
inline constexpr std::size_t ValueBytes(WireFormat format) {
  return format == WireFormat::kFloat32 ? 4
         : format == WireFormat::kInt8  ? 1
                                        : 2;
}

// INVALID_ARGUMENT names the formats there are.
inline Result<WireFormat> ParseWireFormat(const std::string& name) {
  for (std::uint64_t i = 0; i < kWireFormats; ++i) {
    if (name == kWireFormatNames[i]) return static_cast<WireFormat>(i);
  }
  return InvalidArgument("unknown wire format '", name,
                         "'; known are: float32, bfloat16, float16, int8");
}

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_WIRE_FORMAT_H_
