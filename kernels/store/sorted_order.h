// SortedOrder: the positions of ids in ascending order of the ids. Equal ids
// keep their order, so that an id pushed twice takes its steps as given.
//
// Sorted ids lie close together, which is what makes their differences small on
// the wire. A pure function; thread-safe.

#ifndef HET_TF_KERNELS_STORE_SORTED_ORDER_H_
#define HET_TF_KERNELS_STORE_SORTED_ORDER_H_

#include <cstdint>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/types.h"

namespace het {

std::vector<std::uint32_t> SortedOrder(Span<const RowId> ids);

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_SORTED_ORDER_H_
