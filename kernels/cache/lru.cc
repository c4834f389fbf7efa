#include "kernels/cache/lru.h"

namespace het {

void Lru::Use(Span<const Entry> entries, std::int64_t /*apart*/) {
  for (const Entry entry : entries) {
    if (states_.size() <= entry) states_.resize(entry + 1);
    // Seldom: of many rows one that is used alone, thousands of times.
    if (states_[entry].turns == kMostTurns) DropSuperseded();
    State& state = states_[entry];
    if (!state.inside) ++inside_;
    state.inside = true;
    ++state.turns;
    queue_.Push(kQueue, entry);
  }
  if (queue_.size() > inside_ + inside_ / 2 + 1024) DropSuperseded();
}

EvictionPolicy::Entry Lru::Next() {
  while (true) {
    const Entry entry = queue_.Pop(kQueue);
    State& state = states_[entry];
    if (--state.turns > 0 || !state.inside) continue;
    Forget(entry);
    return entry;
  }
}

void Lru::Forget(Entry entry) {
  if (entry >= states_.size() || !states_[entry].inside) return;
  states_[entry].inside = false;
  --inside_;
}

void Lru::DropSuperseded() {
  queue_.Sweep([this](std::uint32_t, Entry entry) {
    State& state = states_[entry];
    if (state.turns == 1 && state.inside) return true;
    --state.turns;
    return false;
  });
}

std::int64_t Lru::memory_bytes() const {
  return queue_.memory_bytes() +
         static_cast<std::int64_t>(states_.size() * sizeof(State));
}

}  // namespace het
