#include "kernels/cache/entries.h"

#include <algorithm>
#include <new>
#include <utility>

#include "kernels/cache/row_math.h"

namespace het {

namespace {

// Small tables take memory in small pieces; large ones in pieces of which only
// what has been used is there, so many that the kernel lists few.
constexpr std::size_t kChunkBytes = std::size_t{256} << 10;
constexpr std::size_t kLargeChunkBytes = 16 * kHugePageBytes;
constexpr std::size_t kLargeTableBytes = kLargeChunkBytes;

constexpr std::size_t kInsertsAhead = 8;

int ChunkBits(std::size_t dimension, std::int64_t rows) {
  const std::size_t row = dimension * 2 * sizeof(float);
  const bool large = static_cast<std::size_t>(rows) >= kLargeTableBytes / row;
  int bits = 4;
  while (row << (bits + 1) <= (large ? kLargeChunkBytes : kChunkBytes)) ++bits;
  return bits;
}

}  // namespace

Entries::Entries(std::size_t dimension, std::int64_t rows)
    : dimension_(dimension),
      rows_(static_cast<std::size_t>(rows)),
      chunk_bits_(ChunkBits(dimension, rows)) {}

Entries::Entry Entries::Insert(RowId id) {
  if (size_ + 1 > index_.room()) GrowIndex();
  Entry entry;
  if (!free_.empty()) {
    entry = free_.back();
    free_.pop_back();
    // Of many insertions one after the other.
    if (free_.size() >= kInsertsAhead) {
      const Entry later = free_[free_.size() - kInsertsAhead];
      PrefetchState(later);
      PrefetchRow(pending(later), dimension_);
    }
  } else {
    entry = end();
    MakeRoom(&states_);
    states_.emplace_back();
    if (keeps_steps_) {
      MakeRoom(&steps_);
      steps_.emplace_back();
    }
    if (chunks_.size() << chunk_bits_ <= entry) AddChunk();
  }
  states_[entry] = EntryState{};
  if (keeps_steps_) steps_[entry] = EntryStep{};
  states_[entry].id = id;
  states_[entry].occupied = true;
  std::fill_n(pending(entry), dimension_, 0.0f);
  index_.Insert(Hash(id), entry);
  ++size_;
  return entry;
}

void Entries::Erase(Entry entry) {
  index_.Erase(Hash(states_[entry].id), entry);
  states_[entry].occupied = false;
  free_.push_back(entry);
  --size_;
}

void Entries::KeepSteps() {
  keeps_steps_ = true;
  steps_.resize(states_.size());
}

template <typename T>
void Entries::MakeRoom(std::vector<T, HugePages<T>>* array) const {
  const std::size_t size = array->size();
  if (size < array->capacity()) return;
  // Twice as many; all of them as soon as that is enough, with some more for the
  // rows that a batch brings before others go.
  const std::size_t twice = std::max<std::size_t>(16, 2 * size);
  const bool all = size < rows_ && rows_ <= twice;
  std::vector<T, HugePages<T>> larger;
  larger.reserve(all ? rows_ + rows_ / 4 : twice);
  if (all) {
    ExpectUse(larger.data(), larger.capacity() * sizeof(T), rows_ * sizeof(T));
  }
  larger.assign(array->begin(), array->end());
  array->swap(larger);
}

void Entries::AddChunk() {
  const std::size_t before = chunks_.size() << chunk_bits_;
  chunks_.emplace_back(HugePages<float>().allocate(chunk_floats()),
                       Freer{chunk_floats()});
  if (before < rows_ && rows_ - before < std::size_t{1} << chunk_bits_) {
    ExpectUse(chunks_.back().get(), chunk_floats() * sizeof(float),
              (rows_ - before) * 2 * dimension_ * sizeof(float));
  }
}

void Entries::GrowIndex() {
  index_.Reset(std::max<std::size_t>(16, size_ + size_ / 4));
  for (Entry entry = 0; entry < end(); ++entry) {
    if (states_[entry].occupied) index_.Insert(Hash(states_[entry].id), entry);
  }
}

// What vectors and the last chunk have reserved beyond their size has not been
// touched.
std::int64_t Entries::memory_bytes() const {
  return static_cast<std::int64_t>(
      states_.size() * 2 * dimension_ * sizeof(float) +
      states_.size() * sizeof(EntryState) + steps_.size() * sizeof(EntryStep) +
      index_.memory_bytes() + free_.size() * sizeof(Entry));
}

}  // namespace het
