// The vocabulary of the project: row ids, clocks, staleness, table ids.
//
// Plain values; standard library only.

#ifndef HET_TF_KERNELS_BASE_TYPES_H_
#define HET_TF_KERNELS_BASE_TYPES_H_

#include <cstdint>
#include <limits>

namespace het {

// A row's name inside its table: any 64-bit integer, negative ones included.
using RowId = std::int64_t;

// A row's Lamport clock (HET, section 4.1): it ticks once per id and commit,
// a commit being one optimizer step. Never negative; a row nobody has pushed
// to stands at 0.
using Clock = std::int64_t;

// The staleness s of a table, in clock ticks. Never negative.
using Staleness = std::int64_t;
inline constexpr Staleness kUnboundedStaleness =
    std::numeric_limits<Staleness>::max();

// Names a table on every shard alike: a hash of the table's name, so that the
// order in which workers create tables does not matter (see table_spec.h).
using TableId = std::uint64_t;

// Random 64 bits drawn by a worker or a shard when it starts. A restarted
// process is another incarnation: it must not look like a repeat of the old
// one. 0 stands for "none".
using Incarnation = std::uint64_t;

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_TYPES_H_
