// Administrative messages to the project's values and back.

#ifndef HET_TF_KERNELS_RPC_MESSAGES_H_
#define HET_TF_KERNELS_RPC_MESSAGES_H_

#include "kernels/store/embedding_store.h"
#include "kernels/store/table_spec.h"
#include "protos/shard.pb.h"

namespace het {

inline constexpr char kExchangeMethod[] = "/het.v1.EmbeddingShard/Exchange";

v1::CreateTableRequest ToMessage(const TableSpec& spec);
TableSpec FromMessage(const v1::CreateTableRequest& message);

// Without the shard's incarnation, which is the client's to say.
v1::SnapshotRequest ToMessage(const SnapshotRequest& request);
v1::RestoreRequest ToMessage(const RestoreRequest& request);
// Without a directory, which is the shard's to say.
SnapshotRequest FromMessage(const v1::SnapshotRequest& message);
RestoreRequest FromMessage(const v1::RestoreRequest& message);
v1::CheckpointProgress ToMessage(const CheckpointProgress& progress);
CheckpointProgress FromMessage(const v1::CheckpointProgress& message);

v1::StatsReply ToMessage(const ShardStats& stats);
ShardStats FromMessage(const v1::StatsReply& message);

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_MESSAGES_H_
