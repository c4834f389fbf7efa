#include "kernels/cache/lru.h"

#include <algorithm>

namespace het {

void Lru::Add(Entry entry) {
  if (last_use_.size() <= entry) last_use_.resize(entry + 1, kOutside);
  last_use_[entry] = ++uses_;
  queue_.push_back({entry, uses_});
  ++inside_;
  if (queue_.size() > 2 * inside_ + 1024) {
    queue_.erase(std::remove_if(queue_.begin(), queue_.end(),
                                [this](const Use& use) { return !IsLast(use); }),
                 queue_.end());
  }
}

EvictionPolicy::Entry Lru::Evict() {
  while (!IsLast(queue_.front())) queue_.pop_front();
  const Entry entry = queue_.front().entry;
  queue_.pop_front();
  Remove(entry);
  return entry;
}

}  // namespace het
