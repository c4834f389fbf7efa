// HostRowDevice: a RowDevice for tests, without a GPU. Like a stream it does
// nothing until its time has come: everything waits for Drain. "Device" memory
// is host memory; freed memory is overwritten, so that what is freed too early
// is noticed.
//
// For one thread.

#ifndef HET_TF_KERNELS_GPU_HOST_ROW_DEVICE_FIXTURE_H_
#define HET_TF_KERNELS_GPU_HOST_ROW_DEVICE_FIXTURE_H_

#include <cstring>
#include <deque>
#include <functional>
#include <utility>

#include "kernels/gpu/row_device.h"

namespace het {

class HostRowDevice final : public RowDevice {
 public:
  Result<Memory> AllocateHost(std::size_t bytes) override {
    return Allocate(bytes, "host memory");
  }
  Result<Memory> AllocateDevice(std::size_t bytes) override {
    return Allocate(bytes, "device memory");
  }
  Status CopyToDevice(const char* host, char* device,
                      std::size_t bytes) override {
    ++copies_to_device;
    return Put("copy to device", [=] { std::memcpy(device, host, bytes); });
  }
  Status CopyToHost(const char* device, char* host,
                    std::size_t bytes) override {
    ++copies_to_host;
    return Put("copy to host", [=] { std::memcpy(host, device, bytes); });
  }
  Status Run(const GatherRows& kernel) override {
    return Put("gather", [kernel] { RunOnHost(kernel); });
  }
  Status Run(const MergeGradients& kernel) override {
    return Put("merge", [kernel] { RunOnHost(kernel); });
  }
  Status Then(std::function<void()> then) override {
    return Put("then", std::move(then));
  }

  // Does what was put on the stream.
  void Drain() {
    while (!stream_.empty()) {
      const std::function<void()> next = std::move(stream_.front());
      stream_.pop_front();
      next();
    }
  }
  bool idle() const { return stream_.empty(); }

  int copies_to_device = 0, copies_to_host = 0;
  int blocks = 0;        // of memory, alive
  int fail_after = -1;   // calls that still work; -1: all
  int failures = 0;

 private:
  bool Fails() {
    if (fail_after < 0) return false;
    if (fail_after-- > 0) return false;
    fail_after = -1;
    ++failures;
    return true;
  }
  Result<Memory> Allocate(std::size_t bytes, const char* what) {
    if (Fails()) return ResourceExhausted("no ", what);
    ++blocks;
    char* const memory = new char[bytes + 1];
    std::memset(memory, 0x7f, bytes + 1);
    return Memory(memory, [this, bytes](char* freed) {
      std::memset(freed, 0x7f, bytes + 1);
      delete[] freed;
      --blocks;
    });
  }
  Status Put(const char* what, std::function<void()> work) {
    if (Fails()) return Internal("no ", what);
    stream_.push_back(std::move(work));
    return OkStatus();
  }

  std::deque<std::function<void()>> stream_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_GPU_HOST_ROW_DEVICE_FIXTURE_H_
