// CodecStore: a shard in this process, reached by way of the codec, whose bytes
// it counts. It stands where ShardClient stands in front of a network.
//
// Which rows are exchanged does not depend on how they are written, so every
// message is encoded in each format that is asked for, for its bytes; the first
// format is also decoded, and is what the shard and the worker see.
//
// Ownership: shares the shard. Thread-safety: none; the shard answers at once,
// on the thread that asks.

#ifndef HET_TF_BENCHMARKS_NATIVE_CODEC_STORE_H_
#define HET_TF_BENCHMARKS_NATIVE_CODEC_STORE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/shard/shard.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/wire_format.h"

namespace het {

// What passed between a worker and a shard. `sent` is by the worker.
struct LinkTraffic {
  explicit LinkTraffic(std::size_t formats)
      : sent(formats), received(formats) {}
  LinkTraffic& operator+=(const LinkTraffic& other);

  std::int64_t messages = 0;  // requests; as many replies
  std::vector<TrafficBytes> sent, received;  // by format
};

struct CodecStoreOptions {
  // Without any there is no codec, and no bytes.
  std::vector<WireFormat> formats;
  // Rows that nobody has pushed to come with values (zeros), as those of a table
  // do that has been trained before.
  bool trained = false;
  std::size_t dimension = 0;
};

class CodecStore final : public EmbeddingStore {
 public:
  CodecStore(std::shared_ptr<Shard> shard, const CodecStoreOptions& options);

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override;
  Status CreateTable(const TableSpec& spec) override;
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override;
  Result<std::vector<ShardStats>> Stats() override;
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override {
    return shard_->Snapshot(request);
  }
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override {
    return shard_->Restore(request);
  }
  Traffic traffic() const override { return {}; }

  // What has passed since the last call.
  LinkTraffic Take();

 private:
  // REQUIRES: there is a format.
  Result<ExchangeReply> ByCodec(const ExchangeRequest& request);
  Result<ExchangeReply> Ask(const ExchangeRequest& request);

  const std::shared_ptr<Shard> shard_;
  const CodecStoreOptions options_;
  const std::vector<float> zeros_;
  LinkTraffic traffic_;
};

}  // namespace het

#endif  // HET_TF_BENCHMARKS_NATIVE_CODEC_STORE_H_
