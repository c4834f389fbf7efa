// EmbeddingCache: a worker's cache of one table's hot rows (HET, section 4).
// Reads are served from it while the staleness conditions hold; writes are
// applied to it and accumulated, and reach the store with a later exchange.
//
// Path of a training step:
//   Prefetch (optional, steps before): what Lookup does up to its exchange
//   Lookup: dedup -> find -> ask consistency/ -> one exchange (pushes that are
//           due, validation of hits, fetch of misses) -> gather into `rows`
//   Update: merge duplicates -> advance the copies -> accumulate -> tick ->
//           evict what overflows; at staleness 0 also push and wait.
//
// Ownership: the cache shares the store; it owns its entries. `ids`, `rows` and
// `gradients` belong to the caller and must live until `done` is called.
// Thread-safety: all methods may be called from any thread. One mutex guards
// the entries; it is never held while the store is called or `done` runs.
// Lock order: the cache's mutex is a leaf; nothing else is locked under it.
//
// Rules that the implementation keeps (docs/consistency.md):
// - A row looked up for training stays resident until its commit, whatever the
//   capacity; capacity counts the rows kept between steps. Capacity 0 means "no
//   cache": every row is fetched for its step, pushed at the commit, dropped.
// - While a fetch of a row is in flight no push of that row is sent, and a
//   second lookup of it joins the fetch. A commit made meanwhile is added on
//   top of the reply.
// - At staleness 0 a commit is pushed and acknowledged before Update is done.
//   At s > 0 a copy whose write staleness is used up, an evicted dirty row and
//   a row that has been dirty for `max_pending_commits` commits of the table
//   are pushed with the next exchange, as many as it has room for. With
//   unbounded staleness a row pushed so is fetched again in the same exchange.
// - An exchange carries at most `max_exchange_bytes` of values each way; what an
//   operation asks for beyond that goes into several, and a flush pushes one
//   exchange after the other.
// - When an exchange fails, the error reaches the caller and every later call:
//   whether the shard applied it is unknown, so the cache does not go on.

#ifndef HET_TF_KERNELS_CACHE_EMBEDDING_CACHE_H_
#define HET_TF_KERNELS_CACHE_EMBEDDING_CACHE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "kernels/base/parallel.h"
#include "kernels/base/span.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/cache/unique_ids.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/table_spec.h"

namespace het {

struct CacheOptions {
  std::int64_t capacity = 0;  // rows kept between steps; 0: no cache
  Staleness staleness = 0;
  std::string policy = "lfu";  // "lru", "lfu" or "light_lfu"
  // Commits of this table after which at the latest a row that has stayed dirty
  // is pushed, and not long before; 0 means 10 * (staleness + 1), and with
  // unbounded staleness never if the optimizer is linear, 1000 otherwise.
  std::int64_t max_pending_commits = 0;
  // The most values (rows or gradients) that one exchange carries each way, at
  // least one row: more is cut into several.
  std::size_t max_exchange_bytes = std::size_t{16} << 20;
  // Ids lie in [0, vocabulary_size); 0: any int64 id.
  std::int64_t vocabulary_size = 0;
  // Refuse gradients with NaN or Inf (INVALID_ARGUMENT, nothing applied).
  bool reject_non_finite = false;
  // How rows and gradients travel to and from shards in other processes.
  WireFormat row_format = WireFormat::kFloat32;
  WireFormat gradient_format = WireFormat::kFloat32;
};

enum class ReadMode {
  kTraining,   // the row stays resident until its commit
  kInference,  // served like training, but nothing is kept for a commit
  kFresh,      // past the cache: the shard's rows plus own pending updates
};

struct CacheStats {
  // Staleness of used copies, c_c - c_s at the read: 0, 1, 2-3, 4-7, ...;
  // the last bucket is open.
  static constexpr int kStalenessBuckets = 16;

  // Reads. Fresh ones are not counted: they are not what the cache is for. What
  // is asked for ahead is counted then, whether or not a lookup comes.
  std::int64_t lookups = 0;      // calls
  std::int64_t ids = 0;          // ids given, duplicates included
  std::int64_t unique_ids = 0;   // = hits + misses + invalid
  std::int64_t hits = 0;         // valid copies used
  std::int64_t misses = 0;       // not cached
  std::int64_t invalid = 0;      // cached, but stale for reading or writing
  std::int64_t prefetched = 0;   // calls that had been asked for ahead
  std::int64_t updates = 0;      // calls (commits)
  std::int64_t updated_rows = 0; // rows written, summed over commits
  std::int64_t pushed_rows = 0;
  std::int64_t evictions = 0;
  std::int64_t rows = 0;         // resident now
  std::int64_t pending_rows = 0; // dirty now, evicted ones included
  std::int64_t memory_bytes = 0; // rows, gradients, clocks, index, policy
  std::array<std::int64_t, kStalenessBuckets> staleness = {};
};

// Ids and the place for their rows, ids.size() x dimension.
struct LookupPart {
  Span<const RowId> ids;
  float* rows = nullptr;
};

class EmbeddingCache {
 public:
  using Done = std::function<void(Status)>;

  // Creates the table in the store (or confirms it) and an empty cache for it.
  // INVALID_ARGUMENT for a negative capacity or staleness or an unknown policy.
  static Result<std::shared_ptr<EmbeddingCache>> Create(
      const TableSpec& table, const CacheOptions& options,
      std::shared_ptr<EmbeddingStore> store, Executor executor = {});

  // Does not flush: what is pending is lost. Calls in flight keep what they need
  // alive and still end.
  virtual ~EmbeddingCache() = default;

  // As created; optimizer() is the one the table has now ("none": not yet).
  virtual const TableSpec& table() const = 0;
  virtual ComponentSpec optimizer() const = 0;

  // Gives its optimizer to a table that was created with "none", which must be
  // done before the first update, or confirms it. INVALID_ARGUMENT when the
  // table has another one. Blocks.
  virtual Status SetOptimizer(const ComponentSpec& spec) = 0;

  virtual const CacheOptions& options() const = 0;

  // INVALID_ARGUMENT names the first id outside of the vocabulary and its
  // position. The calls below ask it themselves.
  virtual Status CheckIds(Span<const RowId> ids) const = 0;

  // Of every part, writes the row of ids[i] to rows + i * dimension; duplicates
  // are removed over all parts. INVALID_ARGUMENT names the first id outside of
  // the vocabulary and its position in its part (OUT_OF_RANGE would tell Keras
  // that the data has ended). The array of parts need not outlive the call.
  virtual void Lookup(Span<const LookupPart> parts, ReadMode mode,
                      Done done) = 0;
  void Lookup(Span<const RowId> ids, ReadMode mode, float* rows, Done done) {
    const LookupPart part{ids, rows};
    Lookup(Span<const LookupPart>(&part, 1), mode, std::move(done));
  }

  // Lookup that leaves it to the caller to spread the rows over the batch: those
  // of the distinct ids go, in their order, to where `place` says. It is called
  // once, within this call and before anything is asked, and gives room for
  // [ids().size(), dimension] that lives until `done`, or an error, which then
  // is the call's. `rows` of the parts is not used.
  using Place = std::function<Result<float*>(const UniqueIds&)>;
  virtual void LookupDistinct(Span<const LookupPart> parts, ReadMode mode,
                              const Place& place, Done done) = 0;

  // Asks ahead for what later training lookups will read: each element has the
  // ids of one of them, all of its parts in order. All go out in one exchange,
  // with the pushes that are due; `done` when it has been handed to the store.
  // The lookup of the same ids then only waits for the answer. It reads rows
  // that were validated up to `ahead` commits before, and asks anew when there
  // were more. What is staged so is pinned; of more than (ahead + 1) times as
  // many as one call has, the oldest are let go. The ids need not outlive the
  // call. INVALID_ARGUMENT: staleness 0, `ahead` below 1, ids as for Lookup.
  virtual void Prefetch(Span<const Span<const RowId>> lookups, int ahead,
                        Done done) = 0;

  // One optimizer step: `gradients` is ids.size() x dimension; duplicates are
  // summed in order of occurrence, the sum is multiplied by `scale` (1 / number
  // of workers). Rows that are not resident are fetched first.
  virtual void Update(Span<const RowId> ids, const float* gradients,
                      float learning_rate, float scale, Done done) = 0;

  // Pushes everything pending; done when the store has acknowledged it.
  virtual void Flush(Done done) = 0;

  // Overwrites rows at the shard (EmbeddingStore::Assign) after a flush, and
  // forgets this worker's copies of them: one in use is fetched again before it
  // is next read. Other workers' copies fail their next validation; with
  // unbounded staleness there is none, so they stay. Blocks.
  virtual Status Assign(Span<const RowId> ids, Span<const float> rows) = 0;

  // Forgets this worker's copies of all rows, which the store has replaced
  // (EmbeddingStore::Restore): what is in use is fetched again before it is next
  // read. FAILED_PRECONDITION while updates are pending.
  virtual Status Forget() = 0;

  virtual CacheStats stats() const = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_EMBEDDING_CACHE_H_
