// GatherRows on a GPU: rows of distinct ids spread over a batch.

#include "kernels/gpu/launch.h"
#include "kernels/gpu/launch_elements.h"

namespace het {

Status Launch(const GatherRows& kernel, void* stream) {
  return LaunchElements(kernel, stream, "GatherRows");
}

}  // namespace het
