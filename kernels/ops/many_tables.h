// What kernels on several tables share: the tables behind their first inputs,
// and one call on each whose exchanges leave as one.
//
// Functions without state.

#ifndef HET_TF_KERNELS_OPS_MANY_TABLES_H_
#define HET_TF_KERNELS_OPS_MANY_TABLES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/ops/resources.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace het {

struct OpenTable {
  std::shared_ptr<EmbeddingCache> cache;
  std::shared_ptr<CombiningStore> store;
};

// The tables of the input list "tables". When `dimensions` is not empty, it has
// what the op's attribute says of each. INVALID_ARGUMENT when a table is given
// twice, has another dimension, or is in another store than the first.
absl::Status GetTables(tensorflow::OpKernelContext* context,
                       const std::vector<std::int64_t>& dimensions,
                       std::vector<OpenTable>* tables);

// The attribute that says which table each of `ids` tensors is for.
absl::Status CheckTableOf(const std::vector<std::int64_t>& table_of, int tables,
                          int ids);

// Calls call(t, end) for every table; `end` is to be called once with the
// result, then or later. When all have ended, sets the context's status to the
// first error in the order of the tables and calls `done`. Whatever the calls
// start before they return leaves as one exchange.
void ForEachTable(
    tensorflow::OpKernelContext* context, const std::vector<OpenTable>& tables,
    tensorflow::AsyncOpKernel::DoneCallback done,
    const std::function<void(std::size_t, EmbeddingCache::Done)>& call);

// TensorFlow's threads for the work inside of ops.
Executor ExecutorOf(tensorflow::OpKernelContext* context);

}  // namespace het

#endif  // HET_TF_KERNELS_OPS_MANY_TABLES_H_
