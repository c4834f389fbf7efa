#include "kernels/shard/row_index.h"

#include <cstring>
#include <new>

namespace het {

RowIndex::Segment* RowIndex::NewSegment(std::uint32_t depth) {
  auto* segment = new (segments_->Take()) Segment;
  std::memset(segment, 0, sizeof(Segment));
  segment->depth = depth;
  ++segment_count_;
  return segment;
}

void RowIndex::TakeNumbers(const Segment& segment, std::uint32_t* numbers) {
  for (const auto& line : segment.lines) {
    for (const std::uint32_t entry : line) {
      if (entry == 0) break;
      *numbers++ = Number(entry);
    }
  }
}

void RowIndex::Split(Segment* segment, const std::uint32_t* numbers,
                     const std::uint64_t* hashes) {
  const int depth = static_cast<int>(segment->depth) + 1;
  if (depth > depth_) {
    std::vector<Segment*> doubled(2 * directory_.size());
    for (std::size_t slot = 0; slot < doubled.size(); ++slot) {
      doubled[slot] = directory_[slot / 2];
    }
    directory_ = std::move(doubled);
    ++depth_;
  }
  Segment* upper = NewSegment(static_cast<std::uint32_t>(depth));
  // Of the places that lead to the segment the upper half leads to the new one.
  const std::size_t places = std::size_t{1} << (depth_ - depth);
  const std::size_t begin = Upper(hashes[0], depth - 1) * 2 * places + places;
  for (std::size_t slot = begin; slot < begin + places; ++slot) {
    directory_[slot] = upper;
  }
  const std::size_t count = segment->count;
  std::memset(segment, 0, sizeof(Segment));
  segment->depth = static_cast<std::uint32_t>(depth);
  for (std::size_t i = 0; i < count; ++i) {
    Put(Upper(hashes[i], depth) & 1 ? upper : segment, hashes[i], numbers[i]);
  }
}

void RowIndex::Put(Segment* segment, std::uint64_t hash,
                   std::uint32_t number) {
  std::size_t line = LineOf(hash);
  while (segment->lines[line][kEntries - 1] != 0) line = Next(line);
  std::uint32_t* entry = segment->lines[line];
  while (*entry != 0) ++entry;
  *entry = Tag(hash) << kNumberBits | (number + 1);
  ++segment->count;
}

}  // namespace het
