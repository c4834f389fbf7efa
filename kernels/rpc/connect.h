// OpenStore: the composition root of a worker. Puts together the store that
// the cache talks to:
//
//   CombiningStore -> ShardedStore -> RetryingStore -> ShardClient
//                                                  (one chain per address)
//   CombiningStore -> RetryingStore -> Shard       (no address: embedded)
//
// Standard library only, so that TensorFlow-facing files may include it.

#ifndef HET_TF_KERNELS_RPC_CONNECT_H_
#define HET_TF_KERNELS_RPC_CONNECT_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/rpc/security.h"
#include "kernels/store/combining_store.h"

namespace het {

struct StoreOptions {
  // "host:port" or "unix:/path", in shard order; every worker gives the same
  // list (a shard refuses a worker that gives it another place). Empty: a shard
  // inside this process.
  std::vector<std::string> addresses;
  // A call that has not succeeded after this long, retries included, is an
  // error that names shard, table and call.
  std::chrono::milliseconds deadline{30000};
  // How long to wait for every shard to come up when opening.
  std::chrono::milliseconds connect_timeout{60000};
  // Largest message in bytes, both ways.
  std::size_t max_message_bytes = std::size_t{1} << 30;
  Security security;
};

// Connects to every shard, checks its version and its place, and draws this
// worker's incarnation. UNAVAILABLE names the address that did not answer;
// FAILED_PRECONDITION names both versions when they differ. Blocks.
Result<std::shared_ptr<CombiningStore>> OpenStore(const StoreOptions& options);

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_CONNECT_H_
