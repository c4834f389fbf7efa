// CheckTableExchange: the rules of one table's part of an exchange, the same
// wherever a request is looked at.

#ifndef HET_TF_KERNELS_STORE_CHECK_REQUEST_H_
#define HET_TF_KERNELS_STORE_CHECK_REQUEST_H_

#include "kernels/base/status.h"
#include "kernels/store/exchange.h"
#include "kernels/store/table_spec.h"

namespace het {

// INVALID_ARGUMENT, naming the table, when arrays that belong together differ
// in length, a clock or the staleness is negative, or the gradients do not have
// the table's dimension.
Status CheckTableExchange(const TableExchange& exchange, const TableSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_CHECK_REQUEST_H_
