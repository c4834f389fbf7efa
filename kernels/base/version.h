// The package's version and the versions of the wire protocol.

#ifndef HET_TF_KERNELS_BASE_VERSION_H_
#define HET_TF_KERNELS_BASE_VERSION_H_

namespace het {

// The same as het_tf/version.py (a test compares them).
inline constexpr char kVersion[] = "0.1.0";

// A worker and a shard speak the newest version that both know, of those from the
// oldest on.
inline constexpr int kProtocolVersion = 3;
inline constexpr int kOldestProtocolVersion = 3;

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_VERSION_H_
