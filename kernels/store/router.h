// Router: which shard holds a row.
//
// An id is hashed into one of kPartitions virtual partitions, for ever; the
// partitions are dealt out to the shards in contiguous, equal runs. Moving a
// table to another number of shards moves whole partitions.
//
// Pure functions of (id, number of shards); thread-safe.

#ifndef HET_TF_KERNELS_STORE_ROUTER_H_
#define HET_TF_KERNELS_STORE_ROUTER_H_

#include <cstddef>
#include <cstdint>

#include "kernels/base/hash.h"
#include "kernels/base/types.h"

namespace het {

inline constexpr std::uint64_t kPartitions = 4096;

class Router {
 public:
  // REQUIRES: 1 <= shards <= kPartitions.
  explicit Router(std::size_t shards) : shards_(shards) {}

  std::size_t shards() const { return shards_; }

  static std::uint64_t PartitionOf(RowId id) {
    return Mix64(static_cast<std::uint64_t>(id)) % kPartitions;
  }

  std::size_t ShardOfPartition(std::uint64_t partition) const {
    return partition * shards_ / kPartitions;
  }

  std::size_t ShardOf(RowId id) const {
    return ShardOfPartition(PartitionOf(id));
  }

 private:
  std::size_t shards_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_ROUTER_H_
