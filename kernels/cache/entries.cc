#include "kernels/cache/entries.h"

#include <algorithm>
#include <utility>

#include "kernels/base/hash.h"

namespace het {

std::size_t Entries::Bucket(RowId id) const {
  return Mix64(static_cast<std::uint64_t>(id)) & (buckets_.size() - 1);
}

Entries::Entry Entries::Find(RowId id) const {
  if (buckets_.empty()) return kNone;
  const std::size_t mask = buckets_.size() - 1;
  for (std::size_t b = Bucket(id); buckets_[b] != 0; b = (b + 1) & mask) {
    const Entry entry = buckets_[b] - 1;
    if (states_[entry].id == id) return entry;
  }
  return kNone;
}

Entries::Entry Entries::Insert(RowId id) {
  if (2 * (size_ + 1) > buckets_.size()) Grow();
  Entry entry;
  if (!free_.empty()) {
    entry = free_.back();
    free_.pop_back();
  } else {
    entry = end();
    states_.emplace_back();
    if (chunks_.size() * kEntriesPerChunk <= entry) {
      chunks_.emplace_back(new float[kEntriesPerChunk * 2 * dimension_]);
    }
  }
  states_[entry] = EntryState{};
  states_[entry].id = id;
  states_[entry].occupied = true;
  std::fill_n(pending(entry), dimension_, 0.0f);
  const std::size_t mask = buckets_.size() - 1;
  std::size_t b = Bucket(id);
  while (buckets_[b] != 0) b = (b + 1) & mask;
  buckets_[b] = entry + 1;
  ++size_;
  return entry;
}

void Entries::Erase(Entry entry) {
  const std::size_t mask = buckets_.size() - 1;
  std::size_t hole = Bucket(states_[entry].id);
  while (buckets_[hole] != entry + 1) hole = (hole + 1) & mask;
  // Closes the gap: whatever probing would no longer find moves back into it.
  for (std::size_t b = (hole + 1) & mask; buckets_[b] != 0; b = (b + 1) & mask) {
    const std::size_t home = Bucket(states_[buckets_[b] - 1].id);
    if (((b - home) & mask) >= ((b - hole) & mask)) {
      buckets_[hole] = buckets_[b];
      hole = b;
    }
  }
  buckets_[hole] = 0;
  states_[entry].occupied = false;
  free_.push_back(entry);
  --size_;
}

void Entries::Grow() {
  const std::size_t size = std::max<std::size_t>(16, 2 * buckets_.size());
  std::vector<Entry> old = std::exchange(buckets_, std::vector<Entry>(size));
  for (const Entry marked : old) {
    if (marked == 0) continue;
    std::size_t b = Bucket(states_[marked - 1].id);
    while (buckets_[b] != 0) b = (b + 1) & (size - 1);
    buckets_[b] = marked;
  }
}

std::int64_t Entries::memory_bytes() const {
  return static_cast<std::int64_t>(
      chunks_.size() * kEntriesPerChunk * 2 * dimension_ * sizeof(float) +
      states_.capacity() * sizeof(EntryState) +
      buckets_.capacity() * sizeof(Entry) + free_.capacity() * sizeof(Entry));
}

}  // namespace het
