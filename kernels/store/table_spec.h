// TableSpec: everything that shards must agree on about a table.
//
// A plain value. Creating a table that exists with an equal spec is a no-op;
// with another spec it is an error that says what differs. Only the optimizer
// may come later: a spec with optimizer "none" makes no claim about it, and the
// first one that names an optimizer decides.

#ifndef HET_TF_KERNELS_STORE_TABLE_SPEC_H_
#define HET_TF_KERNELS_STORE_TABLE_SPEC_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/base/component_spec.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"

namespace het {

struct TableSpec {
  std::string name;
  std::size_t dimension = 0;
  ComponentSpec initializer{"uniform", {}};
  std::uint64_t seed = 0;
  ComponentSpec optimizer{"sgd", {}};
  // One optimizer step per round over all workers: the pushes of a round are
  // summed. The workers are in step, at staleness 0: each pushes once per round,
  // and none begins the next round before all pushes have been acknowledged.
  bool synchronous = false;

  TableId id() const;  // hash of the name
};

// INVALID_ARGUMENT when the name is empty, the dimension is not in
// [1, kMaxDimension], or the initializer or optimizer is unknown.
Status Validate(const TableSpec& spec);

// OK when `wanted` equals `existing`, or differs from it only in that one of
// them has no optimizer; else INVALID_ARGUMENT that names the table and the
// first field that differs, with both values.
Status CheckSameSpec(const TableSpec& existing, const TableSpec& wanted);

// True when `wanted` brings the optimizer that `existing` lacks.
bool BringsOptimizer(const TableSpec& existing, const TableSpec& wanted);

inline constexpr std::size_t kMaxDimension = 1 << 20;

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_TABLE_SPEC_H_
