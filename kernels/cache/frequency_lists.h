// FrequencyLists: entries by how often they were used, with ageing.
//
// A use counts one, up to kLevels - 1, and moves nothing: an entry stays in the
// list where it was put, and TakeLowest passes it on to the list of its count
// when it comes to it. So a use touches two bytes, and every use pays for at
// most one later move. What is to leave a list stays there, too, until TakeLowest
// comes to it or too many of its kind are there. Halve() makes yesterday's hot rows
// cool down, so that the order follows drift; it moves whole lists and costs one
// pass over the counts.
//
// Shared by LFU and light LFU. Not thread-safe.

#ifndef HET_TF_KERNELS_CACHE_FREQUENCY_LISTS_H_
#define HET_TF_KERNELS_CACHE_FREQUENCY_LISTS_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/base/huge_pages.h"
#include "kernels/base/prefetch.h"
#include "kernels/base/span.h"
#include "kernels/cache/entry_queues.h"

namespace het {

class FrequencyLists {
 public:
  using Entry = std::uint32_t;
  static constexpr std::uint32_t kLevels = 64;

  // No entry is inside.
  bool empty() const { return inside_ == 0; }

  // Uses after which to halve: ten for every row of capacity or, if these are
  // more (a batch may be larger than the cache), for every entry there has been.
  std::int64_t Period(std::int64_t capacity) const {
    const std::int64_t rows =
        std::max(capacity, static_cast<std::int64_t>(states_.size()));
    return 10 * std::min(rows, std::numeric_limits<std::int64_t>::max() / 10);
  }

  // In a loop over entries: brings near what Use or UseApart will touch.
  void PrefetchStates(Span<const Entry> entries, std::size_t i) const {
    constexpr std::size_t kAhead = 16;
    if (i + kAhead < entries.size()) PrefetchState(entries[i + kAhead]);
  }

  // Counts a use and takes the entry in, if it is not inside; returns its count.
  std::uint32_t Use(Entry entry) {
    Grow(entry);
    State& state = states_[entry];
    if (state.count + 1u < kLevels) ++state.count;
    if (!state.inside) TakeIn(entry);
    return state.count;
  }

  // Counts a use of an entry that is inside, unless its count would reach `most`:
  // then, or if it is not inside, false, and nothing is done. Threads may call it at
  // the same time for different entries.
  bool UseApart(Entry entry, std::uint32_t most = kLevels + 1) {
    if (entry >= states_.size() || !states_[entry].inside) return false;
    State& state = states_[entry];
    if (state.count + 1u >= most) return false;
    if (state.count + 1u < kLevels) ++state.count;
    return true;
  }

  // Takes the entry in with the given count. REQUIRES: it is not inside.
  void Place(Entry entry, std::uint32_t count) {
    Grow(entry);
    states_[entry].count = count & (kLevels - 1);
    TakeIn(entry);
  }

  // It may be inside or not; its count stays.
  void Remove(Entry entry) {
    if (entry >= states_.size() || !states_[entry].inside) return;
    states_[entry].inside = false;
    --inside_;
  }

  // Removes an entry of the lowest count; as a rule, of these, one that has been
  // found to have it for longest. REQUIRES: !empty().
  Entry TakeLowest() {
    while (true) {
      const auto level = static_cast<std::uint32_t>(__builtin_ctzll(occupied_));
      if (lists_.empty(level)) {
        occupied_ &= occupied_ - 1;
        continue;
      }
      PrefetchState(lists_.Soon(level));
      const Entry entry = lists_.Pop(level);
      State& state = states_[entry];
      if (!state.listed || state.level != level) continue;  // has left the list
      state.listed = false;
      --listed_;
      if (!state.inside) continue;
      if (state.count > level) {
        List(entry);
        continue;
      }
      Remove(entry);
      return entry;
    }
  }

  void Forget(Entry entry) {
    if (entry >= states_.size()) return;
    Remove(entry);
    states_[entry].count = 0;
    // Or it would stand in the list of a count that it no longer has.
    if (states_[entry].listed) Unlist(entry);
  }

  // Halves all counts, of entries inside or not.
  void Halve() {
    for (State& state : states_) {
      state.count = state.count / 2u;
      state.level = state.level / 2u;
    }
    occupied_ = 0;
    for (std::uint32_t level = 0; level < kLevels; ++level) {
      lists_.MoveAll(level, level / 2);
      if (!lists_.empty(level / 2)) occupied_ |= std::uint64_t{1} << level / 2;
    }
  }

  std::int64_t memory_bytes() const {
    return lists_.memory_bytes() +
           static_cast<std::int64_t>(states_.size() * sizeof(State));
  }

 private:
  struct State {
    std::uint16_t count : 6;
    std::uint16_t level : 6;  // of the list it is in; at most `count`
    std::uint16_t listed : 1;
    std::uint16_t inside : 1;
    State() : count(0), level(0), listed(false), inside(false) {}
  };
  static_assert(sizeof(State) == 2 && kLevels == 64);

  void PrefetchState(Entry entry) const {
    if (entry < states_.size()) PrefetchLine(&states_[entry]);
  }
  void Grow(Entry entry) {
    if (states_.size() <= entry) states_.resize(entry + 1);
  }
  void TakeIn(Entry entry) {
    states_[entry].inside = true;
    ++inside_;
    if (states_[entry].listed && states_[entry].level > states_[entry].count) {
      Unlist(entry);
    }
    if (!states_[entry].listed) List(entry);
  }
  void List(Entry entry) {
    State& state = states_[entry];
    state.listed = true;
    state.level = state.count;
    ++listed_;
    lists_.Push(state.level, entry);
    occupied_ |= std::uint64_t{1} << state.level;
  }
  void Unlist(Entry entry) {
    states_[entry].listed = false;
    --listed_;
    if (lists_.size() > listed_ + listed_ / 2 + 1024) DropUnlisted();
  }
  // Of an entry that stands in its list twice, because it has left it and come
  // back or two lists have become one, once is enough.
  void DropUnlisted() {
    lists_.Sweep([this](std::uint32_t level, Entry entry) {
      State& state = states_[entry];
      if (!state.listed || state.level != level) return false;
      state.listed = false;
      return true;
    });
    lists_.Sweep([this](std::uint32_t, Entry entry) {
      states_[entry].listed = true;
      return true;
    });
  }

  EntryQueues lists_{kLevels};
  std::vector<State, HugePages<State>> states_;
  std::size_t inside_ = 0;
  std::size_t listed_ = 0;      // entries, of those that stand in the lists
  std::uint64_t occupied_ = 0;  // bit per level whose list may have entries
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_FREQUENCY_LISTS_H_
