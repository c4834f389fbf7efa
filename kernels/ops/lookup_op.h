// EmbeddingLookupOp: the kernel of HetEmbeddingLookup. Asynchronous, so that no
// TensorFlow thread waits for the network and the lookups of a step run side by
// side. What one op wants of several tables goes out as one exchange per shard.
//
// Thread-safety: immutable after construction, as kernels are.

#ifndef HET_TF_KERNELS_OPS_LOOKUP_OP_H_
#define HET_TF_KERNELS_OPS_LOOKUP_OP_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cache/embedding_cache.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace het {

class EmbeddingLookupOp : public tensorflow::AsyncOpKernel {
 public:
  explicit EmbeddingLookupOp(tensorflow::OpKernelConstruction* context);
  void ComputeAsync(tensorflow::OpKernelContext* context,
                    DoneCallback done) override;

 protected:
  // How the rows of one table are read into the outputs, for one call.
  using Read = std::function<void(EmbeddingCache&, Span<const LookupPart>,
                                  ReadMode, EmbeddingCache::Done)>;
  virtual Read Reader(tensorflow::OpKernelContext* context) const;

 private:
  struct Call;

  ReadMode mode_;
  std::vector<std::int64_t> dimensions_;
  std::vector<std::int64_t> table_of_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_OPS_LOOKUP_OP_H_
