// EntryLists: doubly linked lists of entries, linked by index, an entry in at
// most one list. All lists share one array of links.
//
// Not thread-safe.

#ifndef HET_TF_KERNELS_CACHE_ENTRY_LISTS_H_
#define HET_TF_KERNELS_CACHE_ENTRY_LISTS_H_

#include <cstdint>
#include <vector>

#include "kernels/base/huge_pages.h"

namespace het {

class EntryLists {
 public:
  using Entry = std::uint32_t;

  explicit EntryLists(std::uint32_t lists)
      : lists_(lists), links_(lists) {
    for (std::uint32_t list = 0; list < lists; ++list) links_[list] = {list, list};
  }

  bool empty(std::uint32_t list) const { return links_[list].next == list; }
  // The entry that has been in the list for longest. REQUIRES: !empty(list).
  Entry oldest(std::uint32_t list) const { return links_[list].next - lists_; }

  void Append(std::uint32_t list, Entry entry) {
    const std::uint32_t node = lists_ + entry;
    if (links_.size() <= node) links_.resize(node + 1);
    const std::uint32_t last = links_[list].previous;
    links_[node] = {last, list};
    links_[last].next = node;
    links_[list].previous = node;
  }

  // REQUIRES: the entry is in a list.
  void Unlink(Entry entry) {
    const Links& links = links_[lists_ + entry];
    links_[links.previous].next = links.next;
    links_[links.next].previous = links.previous;
  }

  // Puts all of `from` behind all of `to`, in order.
  void MoveAll(std::uint32_t from, std::uint32_t to) {
    if (empty(from)) return;
    const Links moved = links_[from];
    const std::uint32_t last = links_[to].previous;
    links_[last].next = moved.next;
    links_[moved.next].previous = last;
    links_[moved.previous].next = to;
    links_[to].previous = moved.previous;
    links_[from] = {from, from};
  }

  std::int64_t memory_bytes() const {
    return static_cast<std::int64_t>(links_.size() * sizeof(Links));
  }

 private:
  struct Links {
    std::uint32_t previous = 0;
    std::uint32_t next = 0;
  };

  std::uint32_t lists_;
  std::vector<Links, HugePages<Links>> links_;  // one head per list, then the entries
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_ENTRY_LISTS_H_
