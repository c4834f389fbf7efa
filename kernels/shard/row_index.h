// RowIndex: from the hash of an id to the number of its row, four bytes for each
// place. It grows by splitting one small segment at a time, never as a whole.
//
// Extendible hashing: a directory of segments, chosen by the upper bits of the
// hash; a segment is a page of 63 lines with 16 entries each (a cache line) and
// a line of counts. An entry holds a row's number and 7 bits of the hash, so that
// a row is looked at for nothing once in 128 entries. A segment that is seven
// eighths full is split by the next bit of the hash. Rows are never taken out.
//
// Ownership: segments come from `segments`, which must outlive this object.
// Thread-safety: none; a stripe's mutex guards it.

#ifndef HET_TF_KERNELS_SHARD_ROW_INDEX_H_
#define HET_TF_KERNELS_SHARD_ROW_INDEX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/base/match_line.h"
#include "kernels/base/prefetch.h"
#include "kernels/shard/blocks.h"

namespace het {

class RowIndex {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;
  // Row numbers are less than this.
  static constexpr std::size_t kMaxRows = (std::size_t{1} << 25) - 1;
  static constexpr std::size_t kSegmentBytes = 4096;
  // Hashes spread over their lower bits, as many as this; those above may be
  // the same for all rows of an index.
  static constexpr int kHashBits = 54;

  // REQUIRES: segments->block_bytes() == kSegmentBytes.
  explicit RowIndex(Blocks* segments) : segments_(segments) {}
  RowIndex(const RowIndex&) = delete;
  RowIndex& operator=(const RowIndex&) = delete;

  // The number of the row with this hash that is_it(number) accepts, or kNone.
  template <typename IsIt>
  std::uint32_t Find(std::uint64_t hash, const IsIt& is_it) const {
    if (directory_.empty()) return kNone;
    const Segment& segment = *directory_[Slot(hash)];
    for (std::size_t line = LineOf(hash);; line = Next(line)) {
      const std::uint32_t* entries = segment.lines[line];
      for (std::uint32_t mask = Matches(entries, Tag(hash)); mask != 0;
           mask &= mask - 1) {
        const std::uint32_t number = Number(entries[__builtin_ctz(mask)]);
        if (is_it(number)) return number;
      }
      if (entries[kEntries - 1] == 0) return kNone;
    }
  }

  // Adds a row that is not there. hashes(numbers, count, out) writes the hashes
  // of rows that were added before; it is called when a segment is split.
  // REQUIRES: number < kMaxRows.
  template <typename Hashes>
  void Insert(std::uint64_t hash, std::uint32_t number, const Hashes& hashes) {
    if (directory_.empty()) directory_.push_back(NewSegment(0));
    while (directory_[Slot(hash)]->count == kSplitAt) {
      Segment* segment = directory_[Slot(hash)];
      std::array<std::uint32_t, kSplitAt> numbers;
      std::array<std::uint64_t, kSplitAt> rehashed;
      TakeNumbers(*segment, numbers.data());
      hashes(numbers.data(), numbers.size(), rehashed.data());
      Split(segment, numbers.data(), rehashed.data());
    }
    Put(directory_[Slot(hash)], hash, number);
  }

  // The two steps in which a batch has memory brought near before it calls
  // Find: first the line, then, when that has come, the row that is likely
  // meant (kNone: there is none).
  void Prefetch(std::uint64_t hash) const {
    if (directory_.empty()) return;
    PrefetchLine(&directory_[Slot(hash)]->lines[LineOf(hash)]);
  }
  std::uint32_t Likely(std::uint64_t hash) const {
    return Find(hash, [](std::uint32_t) { return true; });
  }

  std::size_t memory_bytes() const {
    return segment_count_ * kSegmentBytes +
           directory_.capacity() * sizeof(Segment*);
  }

 private:
  static constexpr int kNumberBits = 25;
  static constexpr std::size_t kLines = 63;
  static constexpr std::size_t kEntries = kLineNumbers;
  static constexpr std::size_t kSplitAt = kLines * kEntries * 7 / 8;

  struct alignas(64) Segment {
    std::uint32_t lines[kLines][kEntries];  // 0: empty, and so the rest of a line
    std::uint32_t count;
    std::uint32_t depth;  // how many upper bits of the hash its rows share
    std::uint32_t unused[kEntries - 2];
  };
  static_assert(sizeof(Segment) == kSegmentBytes);

  // Bit i: entry i of a line is there and has this tag.
  static std::uint32_t Matches(const std::uint32_t* entries,
                               std::uint32_t tag) {
    constexpr std::uint32_t kTag = ~((1u << kNumberBits) - 1);
    return MatchLine(entries, kTag, tag << kNumberBits);
  }
  static std::uint32_t Number(std::uint32_t entry) {
    return (entry & ((1u << kNumberBits) - 1)) - 1;
  }
  static std::uint32_t Tag(std::uint64_t hash) { return hash & 127; }
  static std::size_t LineOf(std::uint64_t hash) {
    return ((hash >> 7) & 0xffff) * kLines >> 16;
  }
  static std::size_t Next(std::size_t line) {
    return line + 1 == kLines ? 0 : line + 1;
  }
  // The first `bits` of the hash.
  static std::size_t Upper(std::uint64_t hash, int bits) {
    return bits == 0 ? 0 : hash << (64 - kHashBits) >> (64 - bits);
  }
  std::size_t Slot(std::uint64_t hash) const { return Upper(hash, depth_); }

  Segment* NewSegment(std::uint32_t depth);
  static void TakeNumbers(const Segment& segment, std::uint32_t* numbers);
  void Split(Segment* segment, const std::uint32_t* numbers,
             const std::uint64_t* hashes);
  static void Put(Segment* segment, std::uint64_t hash, std::uint32_t number);

  Blocks* const segments_;
  int depth_ = 0;  // the directory has 2^depth_ places, once it has any
  std::vector<Segment*> directory_;
  std::size_t segment_count_ = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_ROW_INDEX_H_
