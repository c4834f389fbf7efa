// Packed numbers: ids and clocks as protobuf's packed varints, and back.
//
// Ids are written as zigzag differences (`repeated sint64`): the first from 0,
// every other from the one before it, modulo 2^64, so that any order and the
// whole range of int64 survive. Clocks are written as what they exceed a base by
// (`repeated uint64`).
//
// Pure functions. Writing is done in two steps, measure and write, because a
// field's length stands before it.

#ifndef HET_TF_KERNELS_RPC_PACKED_NUMBERS_H_
#define HET_TF_KERNELS_RPC_PACKED_NUMBERS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/types.h"

namespace het {

inline std::size_t VarintSize(std::uint64_t value) {
  return (static_cast<std::size_t>(63 - __builtin_clzll(value | 1)) * 9 + 73) /
         64;
}

// Returns where the next byte goes.
inline std::uint8_t* WriteVarint(std::uint64_t value, std::uint8_t* to) {
  while (value >= 0x80) {
    *to++ = static_cast<std::uint8_t>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<std::uint8_t>(value);
  return to;
}

// How many numbers are packed in the bytes; takes no memory.
std::size_t CountPacked(Span<const std::uint8_t> bytes);

std::size_t PackedIdsSize(Span<const RowId> ids);
void WritePackedIds(Span<const RowId> ids, std::uint8_t* to);
// Appends to `ids`, going on from their last. False: the bytes are no varints of
// 64 bits.
bool ReadPackedIds(Span<const std::uint8_t> bytes, std::vector<RowId>* ids);

// The base that makes clocks small: their minimum, or 0 where writing the base
// would cost as much as it saves.
struct PackedClocks {
  std::uint64_t base = 0;
  std::size_t size = 0;
};
PackedClocks MeasureClocks(Span<const Clock> clocks);
void WritePackedClocks(Span<const Clock> clocks, std::uint64_t base,
                       std::uint8_t* to);
// Appends what was written to `clocks`; the base is still to be added.
bool ReadPackedClocks(Span<const std::uint8_t> bytes,
                      std::vector<Clock>* clocks);
void AddBase(std::uint64_t base, std::vector<Clock>* clocks);

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_PACKED_NUMBERS_H_
