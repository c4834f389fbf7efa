// Entries: the rows a cache holds: an index from id to entry, and for every
// entry its clocks, its values and its pending gradient.
//
// An entry is a small integer, reused after Erase. Values live in chunks that
// never move. Ownership: owns everything. Not thread-safe: used under the
// owning cache's lock.

#ifndef HET_TF_KERNELS_CACHE_ENTRIES_H_
#define HET_TF_KERNELS_CACHE_ENTRIES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/base/types.h"
#include "kernels/consistency/staleness.h"

namespace het {

class Flight;  // see operation.h

struct EntryState {
  RowId id = 0;
  CopyClocks clocks;
  // The operation whose exchange is fetching or validating the row; null when
  // there is none. Until it lands no push of the row is sent.
  Flight* flight = nullptr;
  // Number of the commit that made the row dirty.
  std::int64_t dirty_since = 0;
  std::uint32_t pending_commits = 0;  // own commits that no push covers
  std::uint32_t pins = 0;             // operations that use the row now
  std::uint32_t open_lookups = 0;     // training lookups without a commit yet
  float learning_rate = 0;            // of the last commit
  float step_scale = 1;
  bool fetching = false;  // the flight fetches the row
  bool occupied = false;
  bool evictable = false;  // in the eviction policy
  bool transient = false;  // goes as soon as nobody uses it
  bool due = false;        // in the list of rows to push next
  bool outdated = false;   // to be fetched before it is read again
};

class Entries {
 public:
  using Entry = std::uint32_t;
  static constexpr Entry kNone = ~Entry{0};

  explicit Entries(std::size_t dimension) : dimension_(dimension) {}

  Entry Find(RowId id) const;
  // REQUIRES: Find(id) == kNone. The pending gradient is zero, the values are
  // undefined.
  Entry Insert(RowId id);
  void Erase(Entry entry);

  EntryState& operator[](Entry entry) { return states_[entry]; }
  const EntryState& operator[](Entry entry) const { return states_[entry]; }
  float* values(Entry entry) { return Floats(entry); }
  float* pending(Entry entry) { return Floats(entry) + dimension_; }

  std::size_t size() const { return size_; }
  // One more than the largest entry there has been.
  Entry end() const { return static_cast<Entry>(states_.size()); }
  std::int64_t memory_bytes() const;

 private:
  static constexpr std::size_t kEntriesPerChunk = 256;

  float* Floats(Entry entry) {
    return chunks_[entry / kEntriesPerChunk].get() +
           entry % kEntriesPerChunk * 2 * dimension_;
  }
  std::size_t Bucket(RowId id) const;
  void Grow();

  const std::size_t dimension_;
  std::size_t size_ = 0;
  std::vector<Entry> buckets_;  // entry plus 1; 0: empty; linear probing
  std::vector<EntryState> states_;
  std::vector<Entry> free_;
  std::vector<std::unique_ptr<float[]>> chunks_;  // values, then pending
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_ENTRIES_H_
