#include "kernels/shard/snapshot_marks.h"

#include <utility>

namespace het {

void SnapshotMarks::Cut(std::size_t rows, bool all) {
  if (all) {
    to_write_.assign((rows + 63) / 64, ~std::uint64_t{0});
    if (rows % 64 != 0) to_write_.back() = (std::uint64_t{1} << rows % 64) - 1;
    changed_.assign(to_write_.size(), 0);
  } else {
    to_write_.swap(changed_);
    changed_.assign(to_write_.size(), 0);
  }
  tracking_ = true;
  next_word_ = 0;
}

void SnapshotMarks::Forget() { std::vector<std::uint64_t>().swap(to_write_); }

std::size_t SnapshotMarks::TakeNext() {
  for (; next_word_ < to_write_.size(); ++next_word_) {
    std::uint64_t& word = to_write_[next_word_];
    if (word == 0) continue;
    const auto bit = static_cast<std::size_t>(__builtin_ctzll(word));
    word &= word - 1;
    return next_word_ * 64 + bit;
  }
  return kNone;
}

}  // namespace het
