// DirtyRows: which entries may have a pending gradient, one bit for each, and
// when one has had it for as many commits as it may.
//
// A round over the bits takes a small part of those commits (1/32, or 1/8 where
// that is little), a share of the bits with every commit; an entry is due when
// it could be too old at its next visit. So it is pushed in time always, and not
// long before, for no memory to speak of.
//
// Not thread-safe: used under the owning cache's lock.

#ifndef HET_TF_KERNELS_CACHE_DIRTY_ROWS_H_
#define HET_TF_KERNELS_CACHE_DIRTY_ROWS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/base/types.h"

namespace het {

class DirtyRows {
 public:
  using Entry = std::uint32_t;

  // An entry may be dirty for `most` commits; kUnboundedStaleness: for ever.
  explicit DirtyRows(std::int64_t most)
      : most_(most),
        period_(std::max<std::int64_t>(
            {most / 32, std::min<std::int64_t>(most / 8, 8), 1})) {}

  bool bounded() const { return most_ != kUnboundedStaleness; }

  // What an entry keeps of the commit that made it dirty.
  std::uint16_t Since(std::int64_t commit) const {
    return static_cast<std::uint16_t>(commit / period_);
  }
  void Note(Entry entry) {
    const std::size_t word = entry / 64;
    if (word >= words_.size()) words_.resize(word + 1);
    words_[word] |= std::uint64_t{1} << entry % 64;
  }

  // Whether one that has been dirty since then is to be pushed now.
  bool IsDue(std::uint16_t since, std::int64_t commit) const {
    const auto periods = static_cast<std::uint16_t>(Since(commit) - since);
    const std::int64_t begin = (commit / period_ - periods) * period_;
    return commit + period_ - begin > most_;
  }
  // Calls visit(entry) for those noted whose turn it is; those for which it
  // gives false are not noted any longer.
  template <typename Visitor>
  void Visit(std::int64_t commit, const Visitor& visit) {
    const std::int64_t commits = std::min(commit - visited_, period_);
    visited_ = commit;
    const auto share = static_cast<std::int64_t>(words_.size()) / period_ + 1;
    for (std::int64_t left = std::min<std::int64_t>(
             share * commits, static_cast<std::int64_t>(words_.size()));
         left > 0; --left) {
      if (next_ >= words_.size()) next_ = 0;
      std::uint64_t& word = words_[next_];
      for (std::uint64_t bits = word; bits != 0; bits &= bits - 1) {
        const int bit = __builtin_ctzll(bits);
        if (!visit(static_cast<Entry>(next_ * 64) + static_cast<Entry>(bit))) {
          word &= ~(std::uint64_t{1} << bit);
        }
      }
      ++next_;
    }
  }

  std::int64_t memory_bytes() const {
    return static_cast<std::int64_t>(words_.size() * sizeof(std::uint64_t));
  }

 private:
  std::int64_t most_;
  std::int64_t period_;  // commits in which every entry is visited once
  std::int64_t visited_ = 0;  // the commit of the last visits
  std::size_t next_ = 0;      // the word whose turn it is
  std::vector<std::uint64_t> words_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_DIRTY_ROWS_H_
