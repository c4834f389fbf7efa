// CheckClocks on a GPU: which copies are valid.

#include "kernels/gpu/launch.h"
#include "kernels/gpu/launch_elements.h"

namespace het {

Status Launch(const CheckClocks& kernel, void* stream) {
  return LaunchElements(kernel, stream, "CheckClocks");
}

}  // namespace het
