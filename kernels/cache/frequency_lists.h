// FrequencyLists: entries by how often they were used, with ageing.
//
// A use counts one, up to kLevels - 1. Every `period` uses all counts are
// halved, so that yesterday's hot rows cool down and the order follows drift.
// Halving moves whole lists, so it costs one pass over the counts.
//
// Shared by LFU and light LFU. Not thread-safe.

#ifndef HET_TF_KERNELS_CACHE_FREQUENCY_LISTS_H_
#define HET_TF_KERNELS_CACHE_FREQUENCY_LISTS_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/cache/entry_lists.h"

namespace het {

class FrequencyLists {
 public:
  using Entry = std::uint32_t;
  static constexpr std::uint32_t kLevels = 64;

  bool empty() const { return occupied_ == 0; }

  // Uses after which to halve: ten for every row of capacity or, if these are
  // more (a batch may be larger than the cache), for every entry there has been.
  std::int64_t Period(std::int64_t capacity) const {
    const std::int64_t rows =
        std::max(capacity, static_cast<std::int64_t>(counts_.size()));
    return 10 * std::min(rows, std::numeric_limits<std::int64_t>::max() / 10);
  }

  // Counts a use and lists the entry; returns its count.
  std::uint32_t Use(Entry entry) {
    Grow(entry);
    if (counts_[entry] + 1u < kLevels) ++counts_[entry];
    List(entry);
    return counts_[entry];
  }

  // Lists the entry with the given count.
  void Place(Entry entry, std::uint32_t count) {
    Grow(entry);
    counts_[entry] = static_cast<std::uint8_t>(count);
    List(entry);
  }

  // REQUIRES: the entry is listed.
  void Unlist(Entry entry) {
    lists_.Unlink(entry);
    const std::uint32_t level = counts_[entry];
    if (lists_.empty(level)) occupied_ &= ~(std::uint64_t{1} << level);
  }

  // Unlists an entry of the lowest count, the one that has had it for longest.
  // REQUIRES: !empty().
  Entry TakeLowest() {
    const Entry entry = lists_.oldest(
        static_cast<std::uint32_t>(__builtin_ctzll(occupied_)));
    Unlist(entry);
    return entry;
  }

  void Forget(Entry entry) {
    if (entry < counts_.size()) counts_[entry] = 0;
  }

  // Halves all counts, of listed and unlisted entries.
  void Halve() {
    for (std::uint8_t& count : counts_) count /= 2;
    for (std::uint32_t level = 1; level < kLevels; ++level) {
      lists_.MoveAll(level, level / 2);
    }
    occupied_ = 0;
    for (std::uint32_t level = 0; level < kLevels; ++level) {
      if (!lists_.empty(level)) occupied_ |= std::uint64_t{1} << level;
    }
  }

 private:
  void Grow(Entry entry) {
    if (counts_.size() <= entry) counts_.resize(entry + 1);
  }
  void List(Entry entry) {
    lists_.Append(counts_[entry], entry);
    occupied_ |= std::uint64_t{1} << counts_[entry];
  }

  EntryLists lists_{kLevels};
  std::vector<std::uint8_t> counts_;
  std::uint64_t occupied_ = 0;  // bit per level that has entries
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_FREQUENCY_LISTS_H_
