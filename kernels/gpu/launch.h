// The kernels of row_kernels.h on a GPU: started, not waited for.
//
// `stream` is a CUstream of the context that is current on the calling thread;
// the kernel runs there after what was put on it before. All arrays are device
// memory and live until the kernel has run. INTERNAL with CUDA's own words when
// it cannot be started. Thread-safe.
//
// Defined in *.cu.cc, which only a build with CUDA=1 compiles and links.

#ifndef HET_TF_KERNELS_GPU_LAUNCH_H_
#define HET_TF_KERNELS_GPU_LAUNCH_H_

#include "kernels/base/status.h"
#include "kernels/gpu/row_kernels.h"

namespace het {

Status Launch(const GatherRows& kernel, void* stream);
Status Launch(const MergeGradients& kernel, void* stream);
Status Launch(const CheckClocks& kernel, void* stream);

}  // namespace het

#endif  // HET_TF_KERNELS_GPU_LAUNCH_H_
