#include <string>
#include <utility>

#include "kernels/gpu/launch.h"
#include "kernels/ops/stream_row_device.h"
#include "tensorflow/core/framework/device.h"
#include "tensorflow/core/platform/stream_executor.h"

namespace het {
namespace {

namespace se = stream_executor;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

Status FromTensorFlow(const absl::Status& status, const char* what) {
  if (status.ok()) return OkStatus();
  return Status(static_cast<StatusCode>(status.code()),
                std::string(status.message()))
      .WithContext(what);
}

}  // namespace

Result<std::shared_ptr<StreamRowDevice>> StreamRowDevice::Of(
    OpKernelContext* context) {
  const auto* const device_context = context->op_device_context();
  if (device_context == nullptr || device_context->stream() == nullptr ||
      device_context->stream()->platform_specific_handle().stream == nullptr) {
    return Internal("the device ", context->device()->name(),
                    " has no stream: het_tf's GPU kernels are for TensorFlow's "
                    "CUDA devices");
  }
  return std::shared_ptr<StreamRowDevice>(new StreamRowDevice(context));
}

Result<RowDevice::Memory> StreamRowDevice::AllocateHost(std::size_t bytes) {
  return Allocate(bytes, true);
}

Result<RowDevice::Memory> StreamRowDevice::AllocateDevice(std::size_t bytes) {
  return Allocate(bytes, false);
}

Result<RowDevice::Memory> StreamRowDevice::Allocate(std::size_t bytes,
                                                    bool on_host) {
  tensorflow::AllocatorAttributes attributes;
  attributes.set_on_host(on_host);
  attributes.set_gpu_compatible(on_host);  // pinned
  auto tensor = std::make_shared<Tensor>();
  // Not empty: an empty tensor has no memory.
  HET_RETURN_IF_ERROR(FromTensorFlow(
      context_->allocate_temp(
          tensorflow::DT_INT8,
          tensorflow::TensorShape({static_cast<std::int64_t>(bytes) + 1}),
          tensor.get(), attributes),
      on_host ? "staging memory" : "memory of the device"));
  char* const memory = static_cast<char*>(tensor->data());
  return Memory(std::move(tensor), memory);
}

Status StreamRowDevice::CopyToDevice(const char* host, char* device,
                                     std::size_t bytes) {
  se::DeviceAddressBase to(device, bytes);
  return FromTensorFlow(device_context_->stream()->Memcpy(&to, host, bytes),
                        "copying to the device");
}

Status StreamRowDevice::CopyToHost(const char* device, char* host,
                                   std::size_t bytes) {
  const se::DeviceAddressBase from(const_cast<char*>(device), bytes);
  return FromTensorFlow(device_context_->stream()->Memcpy(host, from, bytes),
                        "copying from the device");
}

Status StreamRowDevice::Run(const GatherRows& kernel) { return Start(kernel); }
Status StreamRowDevice::Run(const MergeGradients& kernel) {
  return Start(kernel);
}
Status StreamRowDevice::Run(const CheckClocks& kernel) { return Start(kernel); }

template <typename Kernel>
Status StreamRowDevice::Start(const Kernel& kernel) {
  se::Stream* const stream = device_context_->stream();
  // The CUDA runtime launches in the calling thread's context, and this may be a
  // thread that has none yet.
  const auto active = stream->parent()->Activate();
  return Launch(kernel, stream->platform_specific_handle().stream);
}

Status StreamRowDevice::Then(std::function<void()> then) {
  return FromTensorFlow(
      device_context_->ThenExecute(static_cast<tensorflow::Device*>(device_),
                                   device_context_->stream(), std::move(then)),
      "waiting for the device");
}

}  // namespace het
