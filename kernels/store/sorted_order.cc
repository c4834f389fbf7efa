#include "kernels/store/sorted_order.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace het {
namespace {

template <typename Key>
struct Item {
  Key key;  // in the order of the ids
  std::uint32_t position;
};

constexpr int kDigitBits = 8;
constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;
// Below this many ids per pass a comparison sort is faster.
constexpr std::size_t kFewPerPass = 200;

// From the last digit to the first, each pass stable; a digit in which all keys
// agree needs none.
template <typename Key>
void RadixSort(Key differing, std::vector<Item<Key>>* items) {
  std::vector<Item<Key>> sorted(items->size());
  for (std::size_t shift = 0; shift < 8 * sizeof(Key); shift += kDigitBits) {
    if ((differing >> shift & (kDigits - 1)) == 0) continue;
    std::array<std::uint32_t, kDigits> next = {};
    for (const auto& item : *items) ++next[item.key >> shift & (kDigits - 1)];
    std::uint32_t begin = 0;
    for (std::uint32_t& count : next) {
      const std::uint32_t size = count;
      count = begin;
      begin += size;
    }
    for (const auto& item : *items) {
      sorted[next[item.key >> shift & (kDigits - 1)]++] = item;
    }
    items->swap(sorted);
  }
}

// Sorts what the ids exceed `least` by, which fits into a Key.
template <typename Key>
void Sort(Span<const RowId> ids, RowId least,
          std::vector<std::uint32_t>* order) {
  std::vector<Item<Key>> items(ids.size());
  Key differing = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    items[i] = {static_cast<Key>(static_cast<std::uint64_t>(ids[i]) -
                                 static_cast<std::uint64_t>(least)),
                static_cast<std::uint32_t>(i)};
    differing |= items[i].key ^ items[0].key;
  }
  std::size_t passes = 0;
  for (Key rest = differing; rest != 0; rest >>= kDigitBits) ++passes;
  if (items.size() < passes * kFewPerPass) {
    std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
      return a.key != b.key ? a.key < b.key : a.position < b.position;
    });
  } else {
    RadixSort(differing, &items);
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    (*order)[i] = items[i].position;
  }
}

}  // namespace

std::vector<std::uint32_t> SortedOrder(Span<const RowId> ids) {
  std::vector<std::uint32_t> order(ids.size());
  if (std::is_sorted(ids.begin(), ids.end())) {
    std::iota(order.begin(), order.end(), 0u);
    return order;
  }
  const auto [least, most] = std::minmax_element(ids.begin(), ids.end());
  const std::uint64_t range =
      static_cast<std::uint64_t>(*most) - static_cast<std::uint64_t>(*least);
  // Half as many bytes to move wherever possible.
  if (range >> 32 == 0) {
    Sort<std::uint32_t>(ids, *least, &order);
  } else {
    Sort<std::uint64_t>(ids, *least, &order);
  }
  return order;
}

}  // namespace het
