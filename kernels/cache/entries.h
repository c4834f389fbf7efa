// Entries: the rows a cache holds: an index from id to entry, and for every
// entry its clocks, its values and its pending gradient.
//
// An entry is a small integer, reused after Erase. Values live in chunks that
// never move. Ownership: owns everything. Not thread-safe: used under the
// owning cache's lock.

#ifndef HET_TF_KERNELS_CACHE_ENTRIES_H_
#define HET_TF_KERNELS_CACHE_ENTRIES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/base/hash.h"
#include "kernels/base/huge_pages.h"
#include "kernels/base/prefetch.h"
#include "kernels/base/types.h"
#include "kernels/cache/entry_index.h"
#include "kernels/consistency/staleness.h"

namespace het {

// Half a cache line.
struct alignas(32) EntryState {
  RowId id = 0;
  // Own commits since the copy was fetched at clock `start`: see clocks().
  std::uint32_t written = 0;
  std::uint32_t pending_commits = 0;  // own commits that no push covers
  Clock start = 0;
  // The exchange that is fetching or validating the row, by its number among
  // those that do; 0 when there is none. Until it lands no push of the row is
  // sent.
  std::uint16_t flight = 0;
  // When the row became dirty (DirtyRows::Since).
  std::uint16_t dirty_since = 0;
  std::uint32_t fetching : 1;   // the flight fetches the row
  std::uint32_t occupied : 1;
  std::uint32_t transient : 1;  // goes as soon as nobody uses it
  std::uint32_t due : 1;        // in the list of rows to push next
  std::uint32_t outdated : 1;   // to be fetched before it is read again
  // Operations that use the row now, and training lookups without a commit yet.
  std::uint32_t pins : 27;

  EntryState()
      : fetching(false),
        occupied(false),
        transient(false),
        due(false),
        outdated(false),
        pins(0) {}

  CopyClocks clocks() const { return {start, SaturatingAdd(start, written)}; }
  void set_clocks(const CopyClocks& clocks) {
    start = clocks.start;
    constexpr Clock kMost = std::numeric_limits<std::uint32_t>::max();
    written = static_cast<std::uint32_t>(
        std::min(clocks.current - clocks.start, kMost));
  }
};
static_assert(sizeof(EntryState) == 32);

// Of a row whose optimizer is not linear: what its steps are made with.
struct EntryStep {
  float learning_rate = 0;  // of the last commit
  float step_scale = 1;
};

class Entries {
 public:
  using Entry = EntryIndex::Entry;
  static constexpr Entry kNone = EntryIndex::kNone;

  // `rows` is how many there will be, about: it decides in which pieces and pages
  // memory is taken, not how much.
  Entries(std::size_t dimension, std::int64_t rows);

  Entry Find(RowId id) const {
    return index_.Find(Hash(id), [this, id](Entry entry) {
      return states_[entry].id == id;
    });
  }
  // Finds ids[begin..end) and calls use(u, entry) for each of them in this
  // order, with the entry's state near; kNone where there is none.
  template <typename Use>
  void FindEach(const std::vector<RowId>& ids, std::size_t begin,
                std::size_t end, const Use& use) const;
  // Of many entries to erase: brings near what Erase touches beside the state,
  // which is near.
  void PrefetchErase(Entry entry) const {
    index_.Prefetch(Hash(states_[entry].id));
  }
  // REQUIRES: Find(id) == kNone. The pending gradient is zero, the values are
  // undefined.
  Entry Insert(RowId id);
  void Erase(Entry entry);

  EntryState& operator[](Entry entry) { return states_[entry]; }
  const EntryState& operator[](Entry entry) const { return states_[entry]; }
  float* values(Entry entry) { return Floats(entry); }
  float* pending(Entry entry) { return Floats(entry) + dimension_; }
  // Keeps a step for every entry from now on.
  void KeepSteps();
  // REQUIRES: KeepSteps().
  EntryStep& step(Entry entry) { return steps_[entry]; }
  const EntryStep& step(Entry entry) const { return steps_[entry]; }
  void PrefetchState(Entry entry) const { PrefetchLine(&states_[entry]); }

  std::size_t size() const { return size_; }
  // One more than the largest entry there has been.
  Entry end() const { return static_cast<Entry>(states_.size()); }
  std::int64_t memory_bytes() const;

 private:
  // Rows start at cache lines where their size allows it.
  struct Freer {
    std::size_t floats;
    void operator()(float* chunk) const {
      HugePages<float>().deallocate(chunk, floats);
    }
  };
  using Chunk = std::unique_ptr<float[], Freer>;

  float* Floats(Entry entry) {
    return chunks_[entry >> chunk_bits_].get() +
           (entry & ((Entry{1} << chunk_bits_) - 1)) * 2 * dimension_;
  }
  static std::uint64_t Hash(RowId id) {
    return Mix64(static_cast<std::uint64_t>(id));
  }
  std::size_t chunk_floats() const {
    return (std::size_t{1} << chunk_bits_) * 2 * dimension_;
  }
  void GrowIndex();
  // Room for another element.
  template <typename T>
  void MakeRoom(std::vector<T, HugePages<T>>* array) const;
  void AddChunk();

  const std::size_t dimension_;
  const std::size_t rows_;
  const int chunk_bits_;  // a chunk has 2^chunk_bits_ entries
  std::size_t size_ = 0;
  EntryIndex index_;
  std::vector<EntryState, HugePages<EntryState>> states_;
  bool keeps_steps_ = false;
  std::vector<EntryStep, HugePages<EntryStep>> steps_;
  std::vector<Entry> free_;
  std::vector<Chunk> chunks_;  // of each entry the values, then the pending
};

template <typename Use>
void Entries::FindEach(const std::vector<RowId>& ids, std::size_t begin,
                       std::size_t end, const Use& use) const {
  // How many ids ahead the index is brought near, and then the state.
  constexpr std::size_t kIndexAhead = 32, kStateAhead = 16;
  Entry likely[kStateAhead];  // of the ids from u on, by their last digits
  const auto prefetch_index = [&](std::size_t u) {
    if (u < end) index_.Prefetch(Hash(ids[u]));
  };
  const auto prefetch_state = [&](std::size_t u) {
    if (u >= end) return;
    const Entry entry = index_.Likely(Hash(ids[u]));
    likely[u % kStateAhead] = entry;
    if (entry != kNone) PrefetchState(entry);
  };
  for (std::size_t u = begin; u < begin + kIndexAhead; ++u) prefetch_index(u);
  for (std::size_t u = begin; u < begin + kStateAhead; ++u) prefetch_state(u);
  for (std::size_t u = begin; u < end; ++u) {
    Entry entry = likely[u % kStateAhead];
    if (entry == kNone || states_[entry].id != ids[u]) entry = Find(ids[u]);
    prefetch_index(u + kIndexAhead);
    prefetch_state(u + kStateAhead);
    use(u, entry);
  }
}

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_ENTRIES_H_
