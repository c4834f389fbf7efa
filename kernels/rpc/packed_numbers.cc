#include "kernels/rpc/packed_numbers.h"

#include <algorithm>

namespace het {
namespace {

// Small differences of either sign become small numbers: 0, -1, 1, -2, ...
std::uint64_t ZigZag(std::uint64_t difference) {
  return difference << 1 ^ (difference >> 63 != 0 ? ~std::uint64_t{0} : 0);
}

std::uint64_t UnZigZag(std::uint64_t number) {
  return number >> 1 ^ ((number & 1) != 0 ? ~std::uint64_t{0} : 0);
}

// The sizes of what the clocks exceed `base` by, added up.
std::size_t ClocksSize(Span<const Clock> clocks, std::uint64_t base) {
  std::size_t size = 0;
  for (const Clock clock : clocks) {
    size += VarintSize(static_cast<std::uint64_t>(clock) - base);
  }
  return size;
}

// Calls use(number) for each varint.
template <typename Use>
bool ForEachVarint(Span<const std::uint8_t> bytes, Use use) {
  // Below, reading stops at the end of a varint: the last byte has to be one.
  if (!bytes.empty() && bytes[bytes.size() - 1] >= 0x80) return false;
  const std::uint8_t* at = bytes.begin();
  while (at != bytes.end()) {
    std::uint64_t number = *at & 0x7f;
    for (int shift = 7; *at++ >= 0x80; shift += 7) {
      if (shift > 63) return false;
      number |= static_cast<std::uint64_t>(*at & 0x7f) << shift;
    }
    use(number);
  }
  return true;
}

}  // namespace

std::size_t CountPacked(Span<const std::uint8_t> bytes) {
  return static_cast<std::size_t>(
      std::count_if(bytes.begin(), bytes.end(),
                    [](std::uint8_t byte) { return byte < 0x80; }));
}

std::size_t PackedIdsSize(Span<const RowId> ids) {
  std::size_t size = 0;
  std::uint64_t last = 0;
  for (const RowId id : ids) {
    size += VarintSize(ZigZag(static_cast<std::uint64_t>(id) - last));
    last = static_cast<std::uint64_t>(id);
  }
  return size;
}

void WritePackedIds(Span<const RowId> ids, std::uint8_t* to) {
  std::uint64_t last = 0;
  for (const RowId id : ids) {
    to = WriteVarint(ZigZag(static_cast<std::uint64_t>(id) - last), to);
    last = static_cast<std::uint64_t>(id);
  }
}

bool ReadPackedIds(Span<const std::uint8_t> bytes, std::vector<RowId>* ids) {
  std::size_t next = ids->size();
  std::uint64_t last = ids->empty() ? 0 : static_cast<std::uint64_t>(ids->back());
  ids->resize(next + CountPacked(bytes));
  return ForEachVarint(bytes, [&](std::uint64_t number) {
    last += UnZigZag(number);
    (*ids)[next++] = static_cast<RowId>(last);
  });
}

PackedClocks MeasureClocks(Span<const Clock> clocks) {
  PackedClocks plain{0, ClocksSize(clocks, 0)};
  if (plain.size == clocks.size()) return plain;  // a byte each: none is smaller
  const auto least = static_cast<std::uint64_t>(
      *std::min_element(clocks.begin(), clocks.end()));
  const PackedClocks based{least, ClocksSize(clocks, least)};
  const std::size_t base_bytes = 1 + VarintSize(least);
  return based.size + base_bytes < plain.size ? based : plain;
}

void WritePackedClocks(Span<const Clock> clocks, std::uint64_t base,
                       std::uint8_t* to) {
  for (const Clock clock : clocks) {
    to = WriteVarint(static_cast<std::uint64_t>(clock) - base, to);
  }
}

bool ReadPackedClocks(Span<const std::uint8_t> bytes,
                      std::vector<Clock>* clocks) {
  std::size_t next = clocks->size();
  clocks->resize(next + CountPacked(bytes));
  return ForEachVarint(bytes, [&](std::uint64_t number) {
    (*clocks)[next++] = static_cast<Clock>(number);
  });
}

void AddBase(std::uint64_t base, std::vector<Clock>* clocks) {
  if (base == 0) return;
  for (Clock& clock : *clocks) {
    clock = static_cast<Clock>(static_cast<std::uint64_t>(clock) + base);
  }
}

}  // namespace het
