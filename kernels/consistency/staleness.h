// Validity of a cached row: the two conditions of HET (section 4.2), and the
// arithmetic of its clocks. This folder is the only place where validity is
// decided; cache and shard ask it. docs/consistency.md maps every rule to the
// test that holds it.
//
// Pure functions over plain values: thread-safe, no state; CUDA kernels call
// them too. With s unbounded every copy is valid for ever.

#ifndef HET_TF_KERNELS_CONSISTENCY_STALENESS_H_
#define HET_TF_KERNELS_CONSISTENCY_STALENESS_H_

#include "kernels/base/host_device.h"
#include "kernels/base/types.h"

namespace het {

// a + b where both are >= 0; stays at the largest clock instead of wrapping.
HET_HOST_DEVICE inline Clock SaturatingAdd(Clock a, Clock b) {
  return a > kUnboundedStaleness - b ? kUnboundedStaleness : a + b;
}

// The clocks of a worker's copy of a row.
struct CopyClocks {
  Clock start = 0;    // c_s: the row's clock when it was fetched
  Clock current = 0;  // c_c: c_s plus the own commits since
};

// The row has just been fetched at clock `global` while `uncovered` own
// commits were pending that the fetch does not contain: they are done again
// on top of the reply. Only a fetch changes c_s: a push without one leaves
// both clocks alone, so it does not renew the copy.
HET_HOST_DEVICE inline CopyClocks ClocksAfterFetch(Clock global,
                                                   Clock uncovered) {
  return {global, SaturatingAdd(global, uncovered)};
}

// One optimizer step wrote the copy.
HET_HOST_DEVICE inline void Tick(CopyClocks* clocks) {
  clocks->current = SaturatingAdd(clocks->current, 1);
}

// Write condition, c_c <= c_s + s, decided by the worker alone: it has not
// written more than s updates since it fetched the row.
HET_HOST_DEVICE inline bool WithinWriteStaleness(const CopyClocks& clocks,
                                                 Staleness staleness) {
  return clocks.current <= SaturatingAdd(clocks.start, staleness);
}

// Read condition, c_g <= c_c + s, decided at the shard: the others are not
// more than s ahead of the copy.
HET_HOST_DEVICE inline bool WithinReadStaleness(Clock global, Clock current,
                                                Staleness staleness) {
  return global <= SaturatingAdd(current, staleness);
}

// The copies of a batch were asked for ahead of their lookup, at most `ahead`
// commits of the table before it. A commit ticks a copy once, so a copy within
// its staleness s then is read with c_c <= c_s + s + ahead; and so much less it
// may know of what others did.
HET_HOST_DEVICE inline bool WithinLookahead(std::int64_t commits,
                                            std::int64_t ahead) {
  return commits <= ahead;
}

// A push carried the copy's clock: the row's clock becomes the maximum
// (Lamport), never a sum.
HET_HOST_DEVICE inline Clock ClockAfterPush(Clock global, Clock pushed) {
  return global < pushed ? pushed : global;
}

// The row was overwritten from outside of training: its clock moves so far
// that no copy made before passes the read condition, whatever it wrote
// (c_c <= c_s + s + 1 <= c_g + s + 1). Copies of unbounded staleness are never
// validated; for them the clock just ticks.
HET_HOST_DEVICE inline Clock ClockAfterAssign(Clock global, Staleness staleness) {
  if (staleness == kUnboundedStaleness) return SaturatingAdd(global, 1);
  return SaturatingAdd(global,
                       SaturatingAdd(SaturatingAdd(staleness, staleness), 2));
}

}  // namespace het

#endif  // HET_TF_KERNELS_CONSISTENCY_STALENESS_H_
