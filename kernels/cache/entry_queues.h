// EntryQueues: first-in-first-out queues of entries, of which one can be put
// behind another without a pass over it. About four bytes for an entry.
//
// Queues are chains of blocks that all of them share. What stands in a queue is
// taken from its front, or by a pass over all of them (Keep): who changes his
// mind about an entry leaves it there and knows it when it comes.
//
// Not thread-safe.

#ifndef HET_TF_KERNELS_CACHE_ENTRY_QUEUES_H_
#define HET_TF_KERNELS_CACHE_ENTRY_QUEUES_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/base/huge_pages.h"

namespace het {

class EntryQueues {
 public:
  using Entry = std::uint32_t;

  explicit EntryQueues(std::uint32_t queues) : queues_(queues) {}

  bool empty(std::uint32_t queue) const { return queues_[queue].front == kNone; }
  // Entries in all queues; one that stands in them twice counts twice.
  std::size_t size() const { return size_; }

  void Push(std::uint32_t queue, Entry entry) {
    Queue& to = queues_[queue];
    if (to.front == kNone) {
      to.front = to.back = TakeBlock();
    } else if (blocks_[to.back].end == kEntries) {
      const std::uint32_t added = TakeBlock();
      blocks_[to.back].next = added;
      to.back = added;
    }
    Block& block = blocks_[to.back];
    block.entries[block.end++] = entry;
    ++size_;
  }

  // The entry that has stood in the queue for longest. REQUIRES: !empty(queue).
  Entry Pop(std::uint32_t queue) {
    Queue& from = queues_[queue];
    Block& block = blocks_[from.front];
    const Entry entry = block.entries[block.begin++];
    --size_;
    if (block.begin == block.end) {
      const std::uint32_t used_up = from.front;
      from.front = block.next;
      GiveBack(used_up);
    }
    return entry;
  }
  // What Pop will give, or comes soon after it. REQUIRES: !empty(queue).
  Entry Soon(std::uint32_t queue) const {
    constexpr std::uint16_t kAhead = 8;
    const Block& block = blocks_[queues_[queue].front];
    const int last = block.end - 1;
    return block.entries[last < block.begin + kAhead ? last
                                                     : block.begin + kAhead];
  }

  // Puts all of `from` behind all of `to`.
  void MoveAll(std::uint32_t from, std::uint32_t to) {
    if (empty(from) || from == to) return;
    if (empty(to)) {
      queues_[to] = queues_[from];
    } else {
      blocks_[queues_[to].back].next = queues_[from].front;
      queues_[to].back = queues_[from].back;
    }
    queues_[from] = Queue{};
  }

  // Calls keep(queue, entry) for all, queue by queue and in their order; those for
  // which it gives false go.
  template <typename Keep>
  void Sweep(const Keep& keep) {
    for (std::uint32_t queue = 0; queue < queues_.size(); ++queue) {
      Queue old = std::exchange(queues_[queue], Queue{});
      while (old.front != kNone) {
        // Given back before the kept ones take new ones, so that none is added:
        // they are written behind what has been read.
        const Block block = blocks_[old.front];
        GiveBack(std::exchange(old.front, block.next));
        size_ -= block.end - block.begin;
        for (std::uint16_t i = block.begin; i < block.end; ++i) {
          if (keep(queue, block.entries[i])) Push(queue, block.entries[i]);
        }
      }
    }
  }

  std::int64_t memory_bytes() const {
    return static_cast<std::int64_t>(blocks_.size() * sizeof(Block) +
                                     queues_.size() * sizeof(Queue));
  }

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  static constexpr std::uint16_t kEntries = 62;

  struct Block {
    Entry entries[kEntries];
    std::uint16_t begin = 0;  // of the entries that stand in it
    std::uint16_t end = 0;
    std::uint32_t next = kNone;
  };
  static_assert(sizeof(Block) == 256);
  struct Queue {
    std::uint32_t front = kNone;
    std::uint32_t back = kNone;
  };

  std::uint32_t TakeBlock() {
    std::uint32_t taken = free_;
    if (taken == kNone) {
      taken = static_cast<std::uint32_t>(blocks_.size());
      blocks_.emplace_back();
    } else {
      free_ = blocks_[taken].next;
    }
    Block& block = blocks_[taken];
    block.begin = block.end = 0;
    block.next = kNone;
    return taken;
  }
  void GiveBack(std::uint32_t block) {
    blocks_[block].next = free_;
    free_ = block;
  }

  std::vector<Queue> queues_;
  std::vector<Block, HugePages<Block>> blocks_;
  std::uint32_t free_ = kNone;  // blocks that no queue has, chained
  std::size_t size_ = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_ENTRY_QUEUES_H_
