// EntryIndex: from the hash of an id to the entry of a cache that has it, about
// five bytes for each.
//
// Lines of a cache line each, with room for 15 marks and a count. A mark is an
// entry plus 1 in as many low bits as all entries need, and bits of the hash
// above them, so that a wrong entry is seldom looked at. What finds its own line
// full goes to the next one with room; every line that it passes counts it, so
// that a search goes on only where somebody has, and taking a mark out moves
// nothing.
//
// Ownership: its memory. Not thread-safe: used under the owning cache's lock.

#ifndef HET_TF_KERNELS_CACHE_ENTRY_INDEX_H_
#define HET_TF_KERNELS_CACHE_ENTRY_INDEX_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/base/huge_pages.h"
#include "kernels/base/match_line.h"
#include "kernels/base/prefetch.h"

namespace het {

class EntryIndex {
 public:
  using Entry = std::uint32_t;
  static constexpr Entry kNone = ~Entry{0};

  // The most entries it takes before it has to be made larger.
  std::size_t room() const { return lines_.size() * kMarks * 7 / 8; }
  // Empty, with room for at least so many entries.
  void Reset(std::size_t entries) {
    std::vector<Line, HugePages<Line>>().swap(lines_);
    lines_.resize(entries * 8 / (kMarks * 7) + 1);
    entry_bits_ = 15;
    while (entry_bits_ < room()) entry_bits_ = 2 * entry_bits_ + 1;
  }

  // The entry with this hash that is_it(entry) accepts, or kNone.
  template <typename IsIt>
  Entry Find(std::uint64_t hash, const IsIt& is_it) const {
    if (lines_.empty()) return kNone;
    for (std::size_t l = Home(hash);; l = After(l)) {
      const std::uint32_t* marks = lines_[l].marks;
      for (std::uint32_t found = Matches(marks, hash); found != 0;
           found &= found - 1) {
        const Entry entry = Marked(marks[__builtin_ctz(found)]);
        if (is_it(entry)) return entry;
      }
      if (marks[kPassed] == 0) return kNone;
    }
  }

  // The two steps in which many searches have memory brought near: first the
  // line, then, when that has come, the entry that is likely meant (kNone: it is
  // elsewhere, or there is none).
  void Prefetch(std::uint64_t hash) const {
    if (!lines_.empty()) PrefetchLine(&lines_[Home(hash)]);
  }
  Entry Likely(std::uint64_t hash) const {
    if (lines_.empty()) return kNone;
    const std::uint32_t* marks = lines_[Home(hash)].marks;
    const std::uint32_t found = Matches(marks, hash);
    return found == 0 ? kNone : Marked(marks[__builtin_ctz(found)]);
  }

  // REQUIRES: there is room, and the entry's number is below room().
  void Insert(std::uint64_t hash, Entry entry) {
    std::size_t l = Home(hash);
    while (true) {
      std::uint32_t* const marks = lines_[l].marks;
      std::uint32_t* const place = std::find(marks, marks + kMarks, 0u);
      if (place != marks + kMarks) {
        *place = Tag(hash) | (entry + 1);
        return;
      }
      ++marks[kPassed];
      l = After(l);
    }
  }
  // REQUIRES: the entry was inserted with this hash.
  void Erase(std::uint64_t hash, Entry entry) {
    const std::uint32_t mark = Tag(hash) | (entry + 1);
    std::size_t l = Home(hash);
    while (true) {
      std::uint32_t* const marks = lines_[l].marks;
      const std::uint32_t found = MatchLine(marks, ~0u, mark);
      if ((found & kAllMarks) != 0) {
        marks[__builtin_ctz(found)] = 0;
        return;
      }
      --marks[kPassed];
      l = After(l);
    }
  }

  std::size_t memory_bytes() const { return lines_.size() * sizeof(Line); }

 private:
  static constexpr std::size_t kMarks = kLineNumbers - 1;
  static constexpr std::size_t kPassed = kMarks;  // where the count stands
  static constexpr std::uint32_t kAllMarks = (1u << kMarks) - 1;

  struct alignas(64) Line {
    std::uint32_t marks[kLineNumbers] = {};
  };

  // From the hash's lower half; the tag is from the upper one.
  std::size_t Home(std::uint64_t hash) const {
    return static_cast<std::size_t>(((hash & 0xffffffff) * lines_.size()) >>
                                    32);
  }
  std::size_t After(std::size_t l) const {
    return l + 1 < lines_.size() ? l + 1 : 0;
  }
  std::uint32_t Tag(std::uint64_t hash) const {
    return static_cast<std::uint32_t>(hash >> 32) & ~entry_bits_;
  }
  Entry Marked(std::uint32_t mark) const { return (mark & entry_bits_) - 1; }
  std::uint32_t Matches(const std::uint32_t* marks, std::uint64_t hash) const {
    return MatchLine(marks, ~entry_bits_, Tag(hash)) & kAllMarks;
  }

  std::vector<Line, HugePages<Line>> lines_;
  std::uint32_t entry_bits_ = 0;  // of a mark
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_ENTRY_INDEX_H_
