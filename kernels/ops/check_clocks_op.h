// CheckClocksOp: the kernel of HetCheckClocks, which copies may be read.
//
// Thread-safety: immutable after construction, as kernels are.

#ifndef HET_TF_KERNELS_OPS_CHECK_CLOCKS_OP_H_
#define HET_TF_KERNELS_OPS_CHECK_CLOCKS_OP_H_

#include "kernels/gpu/row_kernels.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace het {

class CheckClocksOp : public tensorflow::OpKernel {
 public:
  explicit CheckClocksOp(tensorflow::OpKernelConstruction* context);
  void Compute(tensorflow::OpKernelContext* context) override;

 protected:
  // Where the kernel's device has the clocks.
  virtual absl::Status Run(tensorflow::OpKernelContext* context,
                           const CheckClocks& kernel) const;

 private:
  Staleness staleness_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_OPS_CHECK_CLOCKS_OP_H_
