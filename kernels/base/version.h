// The package's version and the version of the wire protocol.

#ifndef HET_TF_KERNELS_BASE_VERSION_H_
#define HET_TF_KERNELS_BASE_VERSION_H_

namespace het {

// The same as het_tf/version.py (a test compares them).
inline constexpr char kVersion[] = "0.1.0";

// A worker and a shard talk to each other only when these are equal.
inline constexpr int kProtocolVersion = 3;

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_VERSION_H_
