// ShardServer: a listening ShardService.
//
// Ownership: owns the gRPC server and its connections; shares the store.
// Thread-safety: Stop may be called from any thread, once or more.

#ifndef HET_TF_KERNELS_SERVER_SHARD_SERVER_H_
#define HET_TF_KERNELS_SERVER_SHARD_SERVER_H_

#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "kernels/base/status.h"
#include "kernels/rpc/security.h"
#include "kernels/server/connection_acceptor.h"
#include "kernels/server/metrics.h"
#include "kernels/server/shard_service.h"
#include "kernels/store/embedding_store.h"

namespace het {

struct ShardServerOptions {
  // "host:port" (port 0: any free one) or "unix:/path". What others can reach
  // needs TLS, or `insecure`; then there can be no tokens.
  std::string listen = "127.0.0.1:4700";
  Security security;
  bool insecure = false;
  std::size_t max_message_bytes = std::size_t{1} << 30;
  std::size_t max_connections = 4096;
  // How long a connection may go without an admitted call.
  std::chrono::milliseconds patience{30000};
  ShardServiceOptions service;
  bool reflection = false;  // of the API, to everybody
  // Where metrics are served over HTTP, without TLS; empty: nowhere. What others
  // can reach needs `metrics_insecure`.
  std::string metrics_listen;
  bool metrics_insecure = false;
};

class ShardServer {
 public:
  // INVALID_ARGUMENT for an address that cannot be parsed, ALREADY_EXISTS when
  // it cannot be bound, FAILED_PRECONDITION for files of `security` that are of no
  // use, or an address that is not safe (see ShardServerOptions).
  static Result<std::unique_ptr<ShardServer>> Start(
      const ShardServerOptions& options, std::shared_ptr<EmbeddingStore> store,
      Incarnation incarnation);
  ~ShardServer();

  // Where it listens, with the port it got.
  const std::string& address() const { return acceptor_->address(); }
  // Empty without metrics_listen.
  std::string metrics_address() const {
    return metrics_ == nullptr ? std::string() : metrics_->address();
  }

  // Refuses new calls, gives those that run `grace` to end, and cancels the
  // rest.
  void Stop(std::chrono::milliseconds grace);

 private:
  ShardServer(std::shared_ptr<EmbeddingStore> store, Incarnation incarnation,
              const ShardServerOptions& options, Tokens tokens);

  ShardService service_;
  std::unique_ptr<grpc::Service> name_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> to_grpc_;
  std::unique_ptr<ConnectionAcceptor> acceptor_;
  std::unique_ptr<MetricsPage> metrics_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SERVER_SHARD_SERVER_H_
