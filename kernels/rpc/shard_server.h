// ShardServer: a listening ShardService.
//
// Ownership: owns the gRPC server; shares the store. Thread-safety: Stop may be
// called from any thread, once or more.

#ifndef HET_TF_KERNELS_RPC_SHARD_SERVER_H_
#define HET_TF_KERNELS_RPC_SHARD_SERVER_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "kernels/base/status.h"
#include "kernels/rpc/shard_service.h"
#include "kernels/store/embedding_store.h"

namespace het {

struct ShardServerOptions {
  // "host:port" (port 0: any free one) or "unix:/path".
  std::string listen = "127.0.0.1:4700";
  ShardPlace place;
  std::size_t max_message_bytes = std::size_t{1} << 30;
  std::string checkpoint_directory;  // empty: no checkpoints
};

class ShardServer {
 public:
  // INVALID_ARGUMENT for an address that cannot be parsed, ALREADY_EXISTS when
  // it cannot be bound (the port or the socket is in use, or the address is not
  // this host's). A socket file that nobody listens on is replaced.
  static Result<std::unique_ptr<ShardServer>> Start(
      const ShardServerOptions& options, std::shared_ptr<EmbeddingStore> store,
      Incarnation incarnation);
  ~ShardServer();

  // Where it listens, with the port it got.
  const std::string& address() const { return address_; }

  // Refuses new calls, gives those that run `grace` to end, and cancels the
  // rest.
  void Stop(std::chrono::milliseconds grace);

 private:
  ShardServer(std::shared_ptr<EmbeddingStore> store, Incarnation incarnation,
              const ShardServerOptions& options);

  ShardService service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_SHARD_SERVER_H_
