#include "kernels/cache/light_lfu.h"

namespace het {

LightLfu::LightLfu(std::int64_t capacity) : capacity_(capacity) {}

void LightLfu::Use(Span<const Entry> entries, std::int64_t apart) {
  for (const Entry entry : entries) {
    if (states_.size() <= entry) states_.resize(entry + 1);
    State& state = states_[entry];
    if (state.hot) {
      state.used = true;
      state.inside = true;
    } else if (lists_.Use(entry) >= kHot) {
      lists_.Remove(entry);
      state.hot = state.used = state.inside = true;
    }
  }
  uses_ += static_cast<std::int64_t>(entries.size()) + apart;
  if (uses_ >= lists_.Period(capacity_)) {
    uses_ = 0;
    lists_.Halve();
    CoolUnused();
  }
}

void LightLfu::UseApart(Span<const Entry> entries, std::vector<Entry>* rest) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    lists_.PrefetchStates(entries, i);
    const Entry entry = entries[i];
    if (entry < states_.size() && states_[entry].hot) {
      states_[entry].used = true;
      states_[entry].inside = true;
    } else if (!lists_.UseApart(entry, kHot)) {
      rest->push_back(entry);
    }
  }
}

EvictionPolicy::Entry LightLfu::Next() {
  if (lists_.empty()) CoolUnused();
  if (lists_.empty()) CoolUnused();  // now every hot entry counts as unused
  return lists_.TakeLowest();
}

void LightLfu::Forget(Entry entry) {
  lists_.Forget(entry);
  if (entry < states_.size()) states_[entry] = State{};
}

void LightLfu::CoolUnused() {
  for (Entry entry = 0; entry < states_.size(); ++entry) {
    State& state = states_[entry];
    if (!state.hot) continue;
    if (state.used) {
      state.used = false;
    } else if (state.inside) {
      state = State{};
      lists_.Place(entry, kCooled);
    }
  }
}

}  // namespace het
