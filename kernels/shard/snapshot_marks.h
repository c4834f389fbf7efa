// SnapshotMarks: of the rows of one stripe, which a snapshot has yet to write and
// which have changed since its cut. One bit per row each, kept from the first cut
// on: a table that is never saved pays one branch per written row.
//
// Ownership: plain memory. Thread-safety: none; the stripe's mutex guards it.

#ifndef HET_TF_KERNELS_SHARD_SNAPSHOT_MARKS_H_
#define HET_TF_KERNELS_SHARD_SNAPSHOT_MARKS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace het {

class SnapshotMarks {
 public:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  // The cut: of the rows numbered 0 to rows - 1 all are to be written, or those
  // that have been touched since the last cut. REQUIRES: unless `all`, there
  // has been one.
  void Cut(std::size_t rows, bool all);
  bool cut_before() const { return tracking_; }
  // Nothing is to be written any more.
  void Forget();

  // The row is about to be changed. True when it was still to be written: the
  // caller has to keep a copy, for it no longer is.
  bool Touch(std::size_t number) {
    if (!tracking_) return false;
    const std::size_t word = number / 64;
    const std::uint64_t bit = std::uint64_t{1} << number % 64;
    if (word >= changed_.size()) changed_.resize(word + 1);
    changed_[word] |= bit;
    if (word >= to_write_.size() || (to_write_[word] & bit) == 0) return false;
    to_write_[word] &= ~bit;
    return true;
  }

  // The next row that is to be written, which it no longer is then, or kNone.
  std::size_t TakeNext();

  std::size_t memory_bytes() const {
    return (changed_.capacity() + to_write_.capacity()) * sizeof(std::uint64_t);
  }

 private:
  bool tracking_ = false;
  std::vector<std::uint64_t> changed_;
  std::vector<std::uint64_t> to_write_;
  std::size_t next_word_ = 0;  // words before it have no bit
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_SNAPSHOT_MARKS_H_
