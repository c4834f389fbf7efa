// ShardService: serves any EmbeddingStore over gRPC.
//
// Exchange takes and gives raw bytes (codec.h) through gRPC's callback
// interface, so an exchange that waits for its turn at the shard holds no
// thread. Administrative calls are short and run on gRPC's threads.
//
// Ownership: shares the store; a call owns its decoded request until it has
// been answered. Thread-safety: all methods may be called from any thread. Lock
// order: mutex_ is a leaf.

#ifndef HET_TF_KERNELS_RPC_SHARD_SERVICE_H_
#define HET_TF_KERNELS_RPC_SHARD_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/base/mutex.h"
#include "kernels/base/types.h"
#include "kernels/rpc/traffic_counter.h"
#include "kernels/store/embedding_store.h"
#include "protos/shard.grpc.pb.h"

namespace het {

// What a shard knows of its place: number `index` of `count`; count 0: nothing
// yet, the first worker decides.
struct ShardPlace {
  std::uint32_t index = 0;
  std::uint32_t count = 0;
};

using ShardServiceBase = v1::EmbeddingShard::WithRawCallbackMethod_Exchange<
    v1::EmbeddingShard::WithCallbackMethod_Hello<
        v1::EmbeddingShard::WithCallbackMethod_CreateTable<
            v1::EmbeddingShard::WithCallbackMethod_Assign<
                v1::EmbeddingShard::WithCallbackMethod_Stats<
                    v1::EmbeddingShard::WithCallbackMethod_Snapshot<
                        v1::EmbeddingShard::WithCallbackMethod_Restore<
                            v1::EmbeddingShard::Service>>>>>>>;

class ShardService final : public ShardServiceBase {
 public:
  ShardService(std::shared_ptr<EmbeddingStore> store, Incarnation incarnation,
               ShardPlace place, std::string checkpoint_directory);

  grpc::ServerUnaryReactor* Hello(grpc::CallbackServerContext* context,
                                  const v1::HelloRequest* request,
                                  v1::HelloReply* reply) override;
  grpc::ServerUnaryReactor* CreateTable(grpc::CallbackServerContext* context,
                                        const v1::CreateTableRequest* request,
                                        v1::CreateTableReply* reply) override;
  grpc::ServerUnaryReactor* Exchange(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* reply) override;
  grpc::ServerUnaryReactor* Assign(grpc::CallbackServerContext* context,
                                   const v1::AssignRequest* request,
                                   v1::AssignReply* reply) override;
  grpc::ServerUnaryReactor* Stats(grpc::CallbackServerContext* context,
                                  const v1::StatsRequest* request,
                                  v1::StatsReply* reply) override;
  grpc::ServerUnaryReactor* Snapshot(grpc::CallbackServerContext* context,
                                     const v1::SnapshotRequest* request,
                                     v1::CheckpointProgress* reply) override;
  grpc::ServerUnaryReactor* Restore(grpc::CallbackServerContext* context,
                                    const v1::RestoreRequest* request,
                                    v1::CheckpointProgress* reply) override;

 private:
  Status CheckPlace(const v1::HelloRequest& request) HET_EXCLUDES(mutex_);
  // FAILED_PRECONDITION: the call means another incarnation, or another place.
  Status CheckMeant(Incarnation shard, const CheckpointPlace& place)
      HET_EXCLUDES(mutex_);

  const std::shared_ptr<EmbeddingStore> store_;
  const Incarnation incarnation_;
  const std::string checkpoint_directory_;
  TrafficCounter traffic_;
  Mutex mutex_;
  ShardPlace place_ HET_GUARDED_BY(mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_SHARD_SERVICE_H_
