// RowDevice: what the staged calls (staged_lookup.h, gradient_merge.h) need of a
// GPU: memory on both sides, copies and kernels on one stream.
//
// What is put on the stream happens later, in the order of the calls; nothing
// here waits. Ownership: whoever puts something on the stream keeps the memory
// until it has happened; KeepUntilDone helps. Thread-safe.

#ifndef HET_TF_KERNELS_GPU_ROW_DEVICE_H_
#define HET_TF_KERNELS_GPU_ROW_DEVICE_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "kernels/base/status.h"
#include "kernels/gpu/row_kernels.h"

namespace het {

class RowDevice {
 public:
  // Aligned for any of the kernels' types; freed with the last owner, at any
  // time. Not null, also for 0 bytes.
  using Memory = std::shared_ptr<char>;

  virtual ~RowDevice() = default;

  // Host memory that the device copies from and to without a detour.
  virtual Result<Memory> AllocateHost(std::size_t bytes) = 0;
  virtual Result<Memory> AllocateDevice(std::size_t bytes) = 0;

  virtual Status CopyToDevice(const char* host, char* device,
                              std::size_t bytes) = 0;
  virtual Status CopyToHost(const char* device, char* host,
                            std::size_t bytes) = 0;
  virtual Status Run(const GatherRows& kernel) = 0;
  virtual Status Run(const MergeGradients& kernel) = 0;

  // Calls `then` when everything put on the stream before has happened, on a
  // thread that must not be held up and must not call the device.
  virtual Status Then(std::function<void()> then) = 0;

  // `owner` lives on until everything put on the stream so far has happened. When
  // Then fails, nobody knows when that is: it lives for ever, and the error is
  // returned.
  Status KeepUntilDone(std::shared_ptr<const void> owner);
};

}  // namespace het

#endif  // HET_TF_KERNELS_GPU_ROW_DEVICE_H_
