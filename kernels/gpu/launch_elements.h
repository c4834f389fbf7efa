// LaunchElements: the one __global__ function, over the elements of any struct of
// row_kernels.h. For *.cu.cc files.

#ifndef HET_TF_KERNELS_GPU_LAUNCH_ELEMENTS_H_
#define HET_TF_KERNELS_GPU_LAUNCH_ELEMENTS_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>

#include "kernels/base/status.h"

namespace het {

template <typename Kernel>
__global__ void WriteElements(Kernel kernel) {
  const std::size_t size = kernel.size();
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i =
           static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < size; i += stride) {
    kernel.Write(i);
  }
}

template <typename Kernel>
Status LaunchElements(const Kernel& kernel, void* stream, const char* name) {
  constexpr std::size_t kThreads = 256;
  constexpr std::size_t kMostBlocks = 65535;
  if (kernel.size() == 0) return OkStatus();
  const std::size_t blocks =
      std::min((kernel.size() + kThreads - 1) / kThreads, kMostBlocks);
  WriteElements<<<static_cast<unsigned>(blocks), kThreads, 0,
                  static_cast<cudaStream_t>(stream)>>>(kernel);
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return OkStatus();
  return Internal("the CUDA kernel ", name, " over ", kernel.size(),
                  " elements could not be started: ", cudaGetErrorName(error),
                  ": ", cudaGetErrorString(error));
}

}  // namespace het

#endif  // HET_TF_KERNELS_GPU_LAUNCH_ELEMENTS_H_
