// MergeGradients on a GPU: gradients of equal ids summed into one row each.

#include "kernels/gpu/launch.h"
#include "kernels/gpu/launch_elements.h"

namespace het {

Status Launch(const MergeGradients& kernel, void* stream) {
  return LaunchElements(kernel, stream, "MergeGradients");
}

}  // namespace het
