// ShardService: serves any EmbeddingStore over gRPC.
//
// All methods come through gRPC's generic callback interface: a caller is admitted
// before its message is read, so that a stranger's takes no memory; Exchange
// takes and gives raw bytes (codec.h); and an exchange that waits for its turn at
// the shard holds no thread. Administrative calls are short and run on gRPC's
// threads. What an administrator asks for stands in the log.
//
// Ownership: shares the store; a call owns its decoded request until it has been
// answered. Thread-safety: all methods may be called from any thread. Lock order:
// mutex_ is a leaf.

#ifndef HET_TF_KERNELS_SERVER_SHARD_SERVICE_H_
#define HET_TF_KERNELS_SERVER_SHARD_SERVICE_H_

#include <grpcpp/generic/async_generic_service.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "kernels/base/mutex.h"
#include "kernels/base/types.h"
#include "kernels/rpc/traffic_counter.h"
#include "kernels/server/connection_acceptor.h"
#include "kernels/server/doorkeeper.h"
#include "kernels/server/metrics.h"
#include "kernels/store/embedding_store.h"
#include "protos/shard.grpc.pb.h"

namespace het {

// What a shard knows of its place: number `index` of `count`; count 0: nothing
// yet, the first worker decides.
struct ShardPlace {
  std::uint32_t index = 0;
  std::uint32_t count = 0;
};

struct ShardServiceOptions {
  ShardPlace place;
  std::string checkpoint_directory;  // empty: no checkpoints
  std::size_t max_ids = std::size_t{1} << 26;  // of a request
  // What administrative calls do that concern the process; empty: refused.
  std::function<Status(const std::string& table)> drop_table;
  std::function<void()> stop;
};

class ShardService final : public grpc::CallbackGenericService {
 public:
  ShardService(std::shared_ptr<EmbeddingStore> store, Incarnation incarnation,
               ShardServiceOptions options, Tokens tokens, bool encrypted);
  ~ShardService() override;

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

  Doorkeeper& doorkeeper() { return doorkeeper_; }
  const std::shared_ptr<Metrics>& metrics() const { return metrics_; }
  // Before serving: where the calls come from.
  void SetConnections(ConnectionAcceptor* connections) {
    connections_ = connections;
  }
  Result<ShardStats> Stats() HET_EXCLUDES(mutex_);

 private:
  class Call;
  struct Method;

  void Answer(Call* call);
  Status Hello(const v1::HelloRequest& request, v1::HelloReply* reply);
  Status CreateTable(const v1::CreateTableRequest& request,
                     v1::CreateTableReply* reply);
  void Exchange(Call* call);
  Status Assign(const v1::AssignRequest& request, v1::AssignReply* reply);
  Status AnswerStats(const v1::StatsRequest& request, v1::StatsReply* reply);
  Status Snapshot(const v1::SnapshotRequest& request,
                  v1::CheckpointProgress* reply);
  Status Restore(const v1::RestoreRequest& request,
                 v1::CheckpointProgress* reply);
  Status DropTable(const v1::DropTableRequest& request,
                   v1::DropTableReply* reply);
  Status Stop(const v1::StopRequest& request, v1::StopReply* reply);

  // Snapshot and Restore.
  template <typename Own, typename Request>
  Status AskCheckpoint(
      Result<CheckpointProgress> (EmbeddingStore::*ask)(const Own&),
      const Request& request, v1::CheckpointProgress* reply);
  template <typename Request, typename Reply>
  void AddMethod(const char* name, Role role,
                 Status (ShardService::*answer)(const Request&, Reply*));

  // Has the log say what an administrator asked for; not that it is asked again
  // how far it is.
  void Audit(const Call& call, const google::protobuf::Message& request,
             const Status& outcome) HET_EXCLUDES(mutex_);
  Status CheckPlace(const v1::HelloRequest& request) HET_EXCLUDES(mutex_);
  // FAILED_PRECONDITION: the call means another incarnation, or another place.
  Status CheckMeant(Incarnation shard) const;
  Status CheckMeant(Incarnation shard, const CheckpointPlace& place)
      HET_EXCLUDES(mutex_);

  const std::shared_ptr<EmbeddingStore> store_;
  const Incarnation incarnation_;
  const ShardServiceOptions options_;
  Doorkeeper doorkeeper_;
  TrafficCounter traffic_;
  const std::shared_ptr<Metrics> metrics_;
  std::map<std::string, Method> methods_;  // by path, as the constructor left it
  ConnectionAcceptor* connections_ = nullptr;
  Mutex mutex_;
  std::string audited_ HET_GUARDED_BY(mutex_);  // the last checkpoint or restore
  ShardPlace place_ HET_GUARDED_BY(mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_SERVER_SHARD_SERVICE_H_
