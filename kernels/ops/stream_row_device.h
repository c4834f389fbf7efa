// StreamRowDevice: the RowDevice of an op that TensorFlow has placed on a GPU. Its
// stream is that of the op's device, its memory that of TensorFlow's allocators.
//
// Memory is asked for while the op's context is there, before its `done`; the
// rest may be called later. Thread-safe. In builds with CUDA=1 alone.

#ifndef HET_TF_KERNELS_OPS_STREAM_ROW_DEVICE_H_
#define HET_TF_KERNELS_OPS_STREAM_ROW_DEVICE_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "kernels/gpu/row_device.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace het {

class StreamRowDevice final : public RowDevice {
 public:
  // INTERNAL when the op's device has no stream.
  static Result<std::shared_ptr<StreamRowDevice>> Of(
      tensorflow::OpKernelContext* context);

  Result<Memory> AllocateHost(std::size_t bytes) override;
  Result<Memory> AllocateDevice(std::size_t bytes) override;
  Status CopyToDevice(const char* host, char* device,
                      std::size_t bytes) override;
  Status CopyToHost(const char* device, char* host, std::size_t bytes) override;
  Status Run(const GatherRows& kernel) override;
  Status Run(const MergeGradients& kernel) override;
  Status Run(const CheckClocks& kernel);
  Status Then(std::function<void()> then) override;

 private:
  explicit StreamRowDevice(tensorflow::OpKernelContext* context)
      : context_(context),
        device_context_(context->op_device_context()),
        device_(context->device()) {}

  Result<Memory> Allocate(std::size_t bytes, bool on_host);
  template <typename Kernel>
  Status Start(const Kernel& kernel);

  tensorflow::OpKernelContext* const context_;  // for memory
  // Both live as long as the device does, which outlives its ops' work.
  tensorflow::DeviceContext* const device_context_;
  tensorflow::DeviceBase* const device_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_OPS_STREAM_ROW_DEVICE_H_
