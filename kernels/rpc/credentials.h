// Credentials: what Security says, checked and put into gRPC's terms.
//
// Errors say which file, what is wrong with it and what is expected. Pure
// functions; what they return watches the files on a thread of gRPC's.

#ifndef HET_TF_KERNELS_RPC_CREDENTIALS_H_
#define HET_TF_KERNELS_RPC_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "kernels/base/status.h"
#include "kernels/rpc/security.h"

namespace het {

inline constexpr char kTokenKey[] = "authorization";
inline constexpr char kTokenPrefix[] = "Bearer ";
// In the trailing metadata of an answer that the shard itself has given.
inline constexpr char kAnsweredKey[] = "het-tf-answered";

struct Tokens {
  std::string worker;
  std::string admin;
  bool any() const { return !worker.empty() || !admin.empty(); }
};

// FAILED_PRECONDITION: a file cannot be read, may be read by every user of its
// host, or does not hold a token.
Result<Tokens> ReadTokens(const Security& security);

// Whether "host:port" or "unix:/path" does not leave this host.
bool IsLocal(const std::string& address);

// TLS with a tls_ca, else none. FAILED_PRECONDITION: the files do not fit
// together, or have expired.
Result<std::shared_ptr<grpc::ChannelCredentials>> ClientCredentials(
    const Security& security);

// TLS with a tls_cert and a tls_key, mutual with a tls_ca, else none.
Result<std::shared_ptr<grpc::ServerCredentials>> ShardCredentials(
    const Security& security);

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_CREDENTIALS_H_
