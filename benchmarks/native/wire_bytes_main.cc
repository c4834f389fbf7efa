// wire_bytes: the bytes that caches exchange with shards, counted by the codec.
//
//   wire_bytes WORKERS STEPS WARM SIZE SHARE STALENESS SHARDS DIMENSION...
//
// Reads WORKERS x SIZE int64 ids per step, for STEPS steps, from its input. The
// workers step together, each with a cache of SHARE of the distinct ids of all
// of them (above 1: of so many rows); after WARM steps the bytes count.
// Everything is real but the network:
//
//   EmbeddingCache -> CombiningStore -> ShardedStore -> RetryingStore
//       -> encode, decode -> Shard -> encode, decode
//
// Which rows are exchanged does not depend on how they are written, so every
// message is also encoded in the smaller formats, for their bytes. Prints one
// JSON object per dimension, bytes per worker and step.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "kernels/base/incarnation.h"
#include "kernels/cache/embedding_cache.h"
#include "kernels/rpc/codec.h"
#include "kernels/shard/shard.h"
#include "kernels/store/combining_store.h"
#include "kernels/store/retrying_store.h"
#include "kernels/store/sharded_store.h"

namespace het {
namespace {

constexpr WireFormat kFormats[] = {WireFormat::kFloat32, WireFormat::kBfloat16,
                                   WireFormat::kInt8};
constexpr const char* kNames[] = {"float32", "16 bits", "8 bits"};

struct Counted {
  TrafficBytes sent[3], received[3];
};

// A shard behind its codec. For one thread: the shard answers at once.
class CodecStore final : public EmbeddingStore {
 public:
  CodecStore(std::shared_ptr<Shard> shard, Counted* counted)
      : shard_(std::move(shard)), counted_(counted) {}

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    DecodedRequest decoded;
    for (const int f : {2, 1, 0}) {
      const ExchangeRequest written = WithFormat(request, kFormats[f]);
      const grpc::ByteBuffer message =
          EncodeRequest(written, &counted_->sent[f]);
      TrafficBytes unused;
      if (f != 0) continue;
      const Status status = DecodeRequest(message, &decoded, &unused);
      if (!status.ok()) return done(status, {});
    }
    shard_->Exchange(decoded.request, [&](Status status, ExchangeReply answer) {
      if (!status.ok()) return done(std::move(status), {});
      ExchangeReply reply;
      for (const int f : {2, 1, 0}) {
        const std::vector<AskedRows> asked =
            AskedRowsOf(WithFormat(request, kFormats[f]));
        const grpc::ByteBuffer message =
            EncodeReply(answer, asked, &counted_->received[f]);
        TrafficBytes unused;
        if (f == 0) status = DecodeReply(message, asked, &reply, &unused);
      }
      done(std::move(status), std::move(reply));
    });
  }
  Status CreateTable(const TableSpec& spec) override {
    return shard_->CreateTable(spec);
  }
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override {
    return shard_->Assign(table, staleness, ids, rows);
  }
  Result<std::vector<ShardStats>> Stats() override { return shard_->Stats(); }
  Traffic traffic() const override { return {}; }

 private:
  static ExchangeRequest WithFormat(const ExchangeRequest& request,
                                    WireFormat format) {
    ExchangeRequest written = request;
    for (TableExchange& table : written.tables) {
      table.row_format = table.gradient_format = format;
    }
    return written;
  }

  const std::shared_ptr<Shard> shard_;
  Counted* const counted_;
};

struct Options {
  std::size_t workers, steps, warm, size;
  double share;
  Staleness staleness;
  std::size_t shards;
};

std::int64_t Payload(const TrafficBytes& bytes) {
  return bytes.ids + bytes.rows + bytes.gradients;
}

template <typename Call>
Status Wait(Call call) {
  std::promise<Status> ended;
  call([&](Status status) { ended.set_value(std::move(status)); });
  return ended.get_future().get();
}

Status Measure(const Options& options, const std::vector<RowId>& ids,
               std::size_t distinct, std::size_t dimension) {
  std::vector<std::shared_ptr<Shard>> shards;
  for (std::size_t s = 0; s < options.shards; ++s) {
    shards.push_back(std::make_shared<Shard>());
  }
  TableSpec spec;
  spec.name = "wire_bytes";
  spec.dimension = dimension;
  CacheOptions cache_options;
  cache_options.capacity = static_cast<std::int64_t>(
      options.share <= 1 ? options.share * static_cast<double>(distinct)
                        : options.share);
  cache_options.staleness = options.staleness;
  Counted counted;
  std::vector<std::shared_ptr<EmbeddingCache>> caches;
  for (std::size_t w = 0; w < options.workers; ++w) {
    RetryOptions retry;
    retry.worker = DrawIncarnation();
    std::vector<std::shared_ptr<EmbeddingStore>> chains;
    for (const auto& shard : shards) {
      retry.shard = shard->incarnation();
      chains.push_back(std::make_shared<RetryingStore>(
          std::make_shared<CodecStore>(shard, &counted), retry, SystemTimer()));
    }
    auto cache = EmbeddingCache::Create(
        spec, cache_options,
        std::make_shared<CombiningStore>(
            std::make_shared<ShardedStore>(std::move(chains))));
    HET_RETURN_IF_ERROR(cache.status());
    caches.push_back(*cache);
  }
  std::vector<float> rows(options.size * dimension);
  const std::vector<float> gradients(options.size * dimension, 1e-3f);
  std::int64_t hits = 0, unique = 0;
  const auto totals = [&](std::int64_t sign) {
    for (const auto& cache : caches) {
      const CacheStats stats = cache->stats();
      hits += sign * stats.hits;
      unique += sign * stats.unique_ids;
    }
  };
  for (std::size_t step = 0; step < options.steps; ++step) {
    if (step == options.warm) {
      counted = Counted{};
      totals(-1);
    }
    const RowId* begin = &ids[step * options.workers * options.size];
    for (const bool update : {false, true}) {
      for (std::size_t w = 0; w < options.workers; ++w) {
        const Span<const RowId> batch(begin + w * options.size, options.size);
        HET_RETURN_IF_ERROR(Wait([&](EmbeddingCache::Done done) {
          update ? caches[w]->Update(batch, gradients.data(), 0.01f, 1, done)
                 : caches[w]->Lookup(batch, ReadMode::kTraining, rows.data(),
                                     done);
        }));
      }
    }
  }
  totals(1);
  const double per = 1.0 / static_cast<double>(options.workers *
                                               (options.steps - options.warm));
  std::cout << R"({"dimension": )" << dimension << R"(, "distinct": )"
            << distinct << R"(, "capacity": )" << cache_options.capacity
            << R"(, "unique": )" << static_cast<double>(unique) * per
            << R"(, "hit_rate": )"
            << static_cast<double>(hits) / static_cast<double>(unique)
            << R"(, "without_cache": )"
            << static_cast<double>(unique) * per * 2 *
                   static_cast<double>(8 + 4 * dimension);
  for (const int f : {0, 1, 2}) {
    const auto payload = static_cast<double>(Payload(counted.sent[f]) +
                                             Payload(counted.received[f]));
    const auto total = static_cast<double>(counted.sent[f].total() +
                                           counted.received[f].total());
    std::cout << ", \"" << kNames[f] << R"(": {"payload": )" << payload * per
              << R"(, "wire": )" << total * per << "}";
  }
  std::cout << "}" << std::endl;
  return OkStatus();
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) {
  if (argc < 9) {
    std::cerr << "usage: wire_bytes WORKERS STEPS WARM SIZE SHARE STALENESS "
                 "SHARDS DIMENSION...\n";
    return 2;
  }
  const het::Options options = {std::stoul(argv[1]), std::stoul(argv[2]),
                                std::stoul(argv[3]), std::stoul(argv[4]),
                                std::stod(argv[5]),  std::stoll(argv[6]),
                                std::stoul(argv[7])};
  if (options.warm >= options.steps || options.workers == 0) {
    std::cerr << "wire_bytes: " << options.warm << " of " << options.steps
              << " steps do not count, with " << options.workers
              << " workers: nothing is left to count\n";
    return 2;
  }
  std::vector<het::RowId> ids(options.workers * options.steps * options.size);
  std::cin.read(reinterpret_cast<char*>(ids.data()),
                static_cast<std::streamsize>(ids.size() * sizeof ids[0]));
  if (!std::cin) {
    std::cerr << "wire_bytes: the ids end after " << std::cin.gcount()
              << " bytes of " << ids.size() * sizeof ids[0] << "\n";
    return 1;
  }
  const std::size_t distinct =
      std::unordered_set<het::RowId>(ids.begin(), ids.end()).size();
  for (int i = 8; i < argc; ++i) {
    const het::Status status =
        het::Measure(options, ids, distinct, std::stoul(argv[i]));
    if (!status.ok()) {
      std::cerr << "wire_bytes: " << status.ToString() << "\n";
      return 1;
    }
  }
  return 0;
}
