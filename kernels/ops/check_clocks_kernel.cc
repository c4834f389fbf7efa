#include "kernels/ops/check_clocks_op.h"
#include "kernels/ops/resources.h"

namespace het {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShapeUtils;

CheckClocksOp::CheckClocksOp(OpKernelConstruction* context)
    : OpKernel(context) {
  std::int64_t staleness = 0;
  OP_REQUIRES_OK(context, context->GetAttr("staleness", &staleness));
  staleness_ = staleness < 0 ? kUnboundedStaleness : staleness;
}

void CheckClocksOp::Compute(OpKernelContext* context) {
  const Tensor& start = context->input(0);
  for (int i = 0; i < 3; ++i) {
    const Tensor& clocks = context->input(i);
    OP_REQUIRES(context,
                TensorShapeUtils::IsVector(clocks.shape()) &&
                    clocks.shape() == start.shape(),
                InvalidInput("clocks to check are three vectors [n], got ",
                             start.shape().DebugString(), ", ",
                             context->input(1).shape().DebugString(), " and ",
                             context->input(2).shape().DebugString()));
  }
  Tensor* valid = nullptr;
  OP_REQUIRES_OK(context, context->allocate_output(0, start.shape(), &valid));
  const auto clocks = [&](int i) {
    return reinterpret_cast<const Clock*>(
        context->input(i).flat<std::int64_t>().data());
  };
  CheckClocks kernel;
  kernel.start = clocks(0);
  kernel.current = clocks(1);
  kernel.global = clocks(2);
  kernel.staleness = staleness_;
  kernel.count = static_cast<std::size_t>(start.NumElements());
  kernel.valid = valid->flat<bool>().data();
  OP_REQUIRES_OK(context, Run(context, kernel));
}

absl::Status CheckClocksOp::Run(OpKernelContext* context,
                                const CheckClocks& kernel) const {
  RunOnHost(kernel);
  return absl::OkStatus();
}

namespace {
REGISTER_KERNEL_BUILDER(Name("HetCheckClocks").Device(tensorflow::DEVICE_CPU),
                        CheckClocksOp);
}  // namespace
}  // namespace het
