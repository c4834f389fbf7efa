// Entries: the rows a cache holds: an index from id to entry, and for every
// entry its clocks, its values and its pending gradient.
//
// An entry is a small integer, reused after Erase. Values live in chunks that
// never move. Ownership: owns everything. Not thread-safe: used under the
// owning cache's lock.

#ifndef HET_TF_KERNELS_CACHE_ENTRIES_H_
#define HET_TF_KERNELS_CACHE_ENTRIES_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/base/hash.h"
#include "kernels/base/huge_pages.h"
#include "kernels/base/types.h"
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
  // The last digits of the number of the commit that made the row dirty.
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
  using Entry = std::uint32_t;
  static constexpr Entry kNone = ~Entry{0};

  // `rows` is how many there will be, about: it decides in which pieces memory
  // is taken, not how much.
  Entries(std::size_t dimension, std::int64_t rows);

  Entry Find(RowId id) const {
    if (buckets_.empty()) return kNone;
    const std::uint64_t hash = Hash(id);
    for (std::size_t b = Home(hash); buckets_[b] != 0; b = After(b)) {
      if (!MayBe(buckets_[b], hash)) continue;
      const Entry entry = Marked(buckets_[b]);
      if (states_[entry].id == id) return entry;
    }
    return kNone;
  }
  // Two steps that bring near what Find will touch, to be taken some ids ahead
  // of it: the index first, and when that has come the entry.
  void PrefetchIndex(RowId id) const {
    if (!buckets_.empty()) {
      __builtin_prefetch(&buckets_[Home(Hash(id))]);
    }
  }
  void PrefetchEntry(RowId id) const {
    if (buckets_.empty()) return;
    const std::uint64_t hash = Hash(id);
    for (std::size_t b = Home(hash); buckets_[b] != 0; b = After(b)) {
      if (!MayBe(buckets_[b], hash)) continue;
      PrefetchState(Marked(buckets_[b]));
      return;
    }
  }
  // What Erase will touch, when the index is near: the entries that stand behind
  // this one in it.
  void PrefetchErase(Entry entry) const {
    for (std::size_t b = Home(Hash(states_[entry].id)); buckets_[b] != 0;
         b = After(b)) {
      PrefetchState(Marked(buckets_[b]));
    }
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
  void PrefetchState(Entry entry) const { __builtin_prefetch(&states_[entry]); }

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
  // Linear probing from the bucket that the hash's low half falls to. A bucket
  // is 0, empty, or a mark: an entry plus 1 in as many low bits as the number of
  // buckets has (there are fewer entries), and above them bits of the hash's
  // high half, so that a probe seldom has to look at a wrong entry.
  static std::uint64_t Hash(RowId id) {
    return Mix64(static_cast<std::uint64_t>(id));
  }
  std::size_t Home(std::uint64_t hash) const {
    return static_cast<std::size_t>(
        ((hash & 0xffffffff) * buckets_.size()) >> 32);
  }
  std::size_t After(std::size_t b) const {
    return b + 1 < buckets_.size() ? b + 1 : 0;
  }
  std::uint32_t Mark(Entry entry, std::uint64_t hash) const {
    return (static_cast<std::uint32_t>(hash >> 32) & ~entry_bits_) |
           (entry + 1);
  }
  Entry Marked(std::uint32_t bucket) const {
    return (bucket & entry_bits_) - 1;
  }
  bool MayBe(std::uint32_t bucket, std::uint64_t hash) const {
    return ((bucket ^ static_cast<std::uint32_t>(hash >> 32)) &
            ~entry_bits_) == 0;
  }
  // Into the first empty bucket from its own on.
  void Put(Entry entry);
  std::size_t chunk_floats() const {
    return (std::size_t{1} << chunk_bits_) * 2 * dimension_;
  }
  void Grow();

  const std::size_t dimension_;
  const int chunk_bits_;  // a chunk has 2^chunk_bits_ entries
  std::size_t size_ = 0;
  std::vector<std::uint32_t, HugePages<std::uint32_t>> buckets_;
  std::uint32_t entry_bits_ = 0;  // of a mark
  std::vector<EntryState, HugePages<EntryState>> states_;
  bool keeps_steps_ = false;
  std::vector<EntryStep, HugePages<EntryStep>> steps_;
  std::vector<Entry> free_;
  std::vector<Chunk> chunks_;  // of each entry the values, then the pending
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_ENTRIES_H_
