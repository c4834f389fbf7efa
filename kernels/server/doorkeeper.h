// Doorkeeper: who is let in, and what becomes of those who are not.
//
// A caller shows a token (Tokens) before its message is read. Who is refused is
// told what its owner has to do and nothing about the shard; the shard's log says
// who it was and why, once per source, reason and minute, and counts it.
//
// Thread-safety: all methods may be called from any thread. Lock order: mutex_ is
// a leaf.

#ifndef HET_TF_KERNELS_SERVER_DOORKEEPER_H_
#define HET_TF_KERNELS_SERVER_DOORKEEPER_H_

#include <grpcpp/support/string_ref.h>

#include <cstdint>
#include <map>
#include <string>

#include "kernels/base/mutex.h"
#include "kernels/base/status.h"
#include "kernels/rpc/credentials.h"
#include "kernels/server/log.h"

namespace het {

enum class Role { kWorker, kAdmin };

class Doorkeeper {
 public:
  using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

  Doorkeeper(Tokens tokens, bool encrypted)
      : tokens_(std::move(tokens)), encrypted_(encrypted) {}

  // `peer` as gRPC names it. UNAUTHENTICATED: no token, or none of this job's;
  // PERMISSION_DENIED: a worker's where an administrator's is needed.
  Status Admit(const Metadata& metadata, const std::string& peer, Role needed);

  // Counts somebody who was refused, and has the log say so.
  void Refused(const std::string& reason, const std::string& peer)
      HET_EXCLUDES(mutex_);

  // By reason.
  std::map<std::string, std::int64_t> refused() const HET_EXCLUDES(mutex_);

 private:
  const Tokens tokens_;
  const bool encrypted_;
  OncePerMinute once_;
  mutable Mutex mutex_;
  std::map<std::string, std::int64_t> refused_ HET_GUARDED_BY(mutex_);
};

// "ipv4:10.0.0.7:4242" without scheme and port; "unix" for a socket.
std::string SourceOf(const std::string& peer);

}  // namespace het

#endif  // HET_TF_KERNELS_SERVER_DOORKEEPER_H_
