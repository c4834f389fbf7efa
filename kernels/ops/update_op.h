// EmbeddingUpdateOp: the kernel of HetEmbeddingUpdate, one optimizer step on
// looked-up rows. Asynchronous: at staleness 0 it is done when the shards have
// acknowledged the push. What one op pushes to several tables goes out as one
// exchange per shard.
//
// Thread-safety: immutable after construction, as kernels are.

#ifndef HET_TF_KERNELS_OPS_UPDATE_OP_H_
#define HET_TF_KERNELS_OPS_UPDATE_OP_H_

#include <memory>
#include <vector>

#include "kernels/ops/many_tables.h"
#include "kernels/ops/resources.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace het {

class EmbeddingUpdateOp : public tensorflow::AsyncOpKernel {
 public:
  using AsyncOpKernel::AsyncOpKernel;
  void ComputeAsync(tensorflow::OpKernelContext* context,
                    DoneCallback done) override;

 protected:
  struct Input {
    IdsInput ids;
    const float* gradients;  // where the kernel's device has them
    float learning_rate;
  };
  // What is asked of one table each, checked.
  struct Call {
    std::vector<OpenTable> tables;
    std::vector<Input> inputs;
    float scale = 1;
  };
  virtual void Run(tensorflow::OpKernelContext* context,
                   std::shared_ptr<Call> call, DoneCallback done) const;
};

}  // namespace het

#endif  // HET_TF_KERNELS_OPS_UPDATE_OP_H_
