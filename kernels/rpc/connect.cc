#include "kernels/rpc/connect.h"

#include <algorithm>
#include <utility>

#include "kernels/base/incarnation.h"
#include "kernels/rpc/shard_client.h"
#include "kernels/shard/shard.h"
#include "kernels/store/retrying_store.h"
#include "kernels/store/sharded_store.h"

namespace het {

Result<std::shared_ptr<CombiningStore>> OpenStore(const StoreOptions& options) {
  if (options.deadline.count() <= 0) {
    return InvalidArgument("the deadline is ", options.deadline.count(),
                           " ms, expected more than 0");
  }
  if (options.addresses.size() > kPartitions) {
    return InvalidArgument(options.addresses.size(),
                           " shards are more than the limit of ", kPartitions);
  }
  RetryOptions retry;
  retry.worker = DrawIncarnation();
  retry.deadline = options.deadline;

  if (options.addresses.empty()) {
    auto shard = std::make_shared<Shard>();
    retry.shard = shard->incarnation();
    retry.name = "the shard in this process";
    retry.sole_writer = true;
    return std::make_shared<CombiningStore>(
        std::make_shared<RetryingStore>(shard, retry, SystemTimer()));
  }

  std::vector<std::shared_ptr<EmbeddingStore>> shards;
  for (std::size_t i = 0; i < options.addresses.size(); ++i) {
    ShardClientOptions client;
    client.address = options.addresses[i];
    client.index = i;
    client.count = options.addresses.size();
    client.connect_timeout = options.connect_timeout;
    // Room for a second attempt before the deadline.
    client.call_timeout =
        std::max(options.deadline / 3, std::chrono::milliseconds(1));
    client.max_message_bytes = options.max_message_bytes;
    client.security = options.security;
    retry.attempt = client.call_timeout;
    client.assign_timeout = options.deadline;
    auto connected = ShardClient::Connect(client);
    retry.name = "shard " + std::to_string(i) + " (" + client.address + ")";
    if (!connected.ok()) return connected.status().WithContext(retry.name);
    retry.shard = (*connected)->shard_incarnation();
    shards.push_back(std::make_shared<RetryingStore>(
        std::shared_ptr<ShardClient>(std::move(connected).Take()), retry,
        SystemTimer()));
  }
  // Ids, clocks and learning rates come on top of the bytes that it counts: at
  // dimension 1 up to six times as much.
  return std::make_shared<CombiningStore>(
      std::make_shared<ShardedStore>(std::move(shards)),
      std::min(CombiningStore::kMaxBytes, options.max_message_bytes / 8));
}

}  // namespace het
