#include "kernels/cache/lru.h"

#include <algorithm>

namespace het {

void Lru::Use(Span<const Entry> entries) {
  for (const Entry entry : entries) {
    if (last_use_.size() <= entry) last_use_.resize(entry + 1, kOutside);
    if (last_use_[entry] == kOutside) ++inside_;
    if (++uses_ == kOutside) ++uses_;
    last_use_[entry] = uses_;
    queue_.push_back({entry, uses_});
  }
  if (queue_.size() > 2 * inside_ + 1024) {
    queue_.erase(
        std::remove_if(queue_.begin(), queue_.end(),
                       [this](const Turn& turn) { return !IsLast(turn); }),
        queue_.end());
  }
}

EvictionPolicy::Entry Lru::Next() {
  while (!IsLast(queue_.front())) queue_.pop_front();
  const Entry entry = queue_.front().entry;
  queue_.pop_front();
  Forget(entry);
  return entry;
}

void Lru::Forget(Entry entry) {
  if (entry >= last_use_.size() || last_use_[entry] == kOutside) return;
  last_use_[entry] = kOutside;
  --inside_;
}

std::int64_t Lru::memory_bytes() const {
  return static_cast<std::int64_t>(queue_.size() * sizeof(Turn) +
                                   last_use_.size() * sizeof(std::uint32_t));
}

}  // namespace het
