// DrawIncarnation: 64 random bits that name one run of a process.

#ifndef HET_TF_KERNELS_BASE_INCARNATION_H_
#define HET_TF_KERNELS_BASE_INCARNATION_H_

#include "kernels/base/types.h"

namespace het {

// From the system's random device; never 0. Thread-safe.
Incarnation DrawIncarnation();

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_INCARNATION_H_
