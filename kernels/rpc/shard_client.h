// ShardClient: the EmbeddingStore that is a shard in another process.
//
// Exchange is asynchronous: it encodes, hands the message to gRPC and returns;
// the answer comes on one of gRPC's threads. Every call has a deadline of its
// own, so `done` always comes. It does not retry: RetryingStore does.
//
// Ownership: owns its channel; calls in flight keep what they need alive.
// Thread-safety: as EmbeddingStore says.

#ifndef HET_TF_KERNELS_RPC_SHARD_CLIENT_H_
#define HET_TF_KERNELS_RPC_SHARD_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "kernels/base/status.h"
#include "kernels/rpc/security.h"
#include "kernels/store/embedding_store.h"

namespace het {

struct ShardClientOptions {
  std::string address;  // "host:port" or "unix:/path"
  // This is shard `index` of `count`; count 0: no claim.
  std::size_t index = 0;
  std::size_t count = 0;
  std::chrono::milliseconds connect_timeout{60000};
  std::chrono::milliseconds call_timeout{10000};  // one attempt
  std::chrono::milliseconds assign_timeout{30000};  // one attempt of Assign
  std::size_t max_message_bytes = std::size_t{1} << 30;
  Security security;
};

class ShardClient final : public EmbeddingStore {
 public:
  // Waits for the shard to come up and checks versions and place. UNAVAILABLE
  // names the address and the time waited; FAILED_PRECONDITION both versions
  // or both places, or what is wrong with TLS or a token; UNAUTHENTICATED: the
  // shard wants another token.
  static Result<std::unique_ptr<ShardClient>> Connect(
      const ShardClientOptions& options);
  ~ShardClient() override;

  // The shard's, as it said when connecting.
  Incarnation shard_incarnation() const;

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override;
  Status CreateTable(const TableSpec& spec) override;
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override;
  Result<std::vector<ShardStats>> Stats() override;
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override;
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override;
  Traffic traffic() const override;

 private:
  struct Connection;
  explicit ShardClient(std::shared_ptr<Connection> connection);

  const std::shared_ptr<Connection> connection_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_SHARD_CLIENT_H_
