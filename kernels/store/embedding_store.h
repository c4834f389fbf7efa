// EmbeddingStore: where embedding rows live, seen from a worker. One hot call
// (Exchange) and a few administrative ones.
//
// Implementations: Shard (in this process), ShardClient (over gRPC); and four
// that wrap others: CombiningStore (many tables in one exchange), ShardedStore
// (fan-out over shards), RetryingStore (sequence numbers, deadline, backoff),
// FaultInjectionStore (tests). The
// cache knows this interface alone; the gRPC service wraps any of them. One
// contract suite (testing/store_contract.h) runs against all.
//
// Thread-safety: every method may be called from any thread at any time.

#ifndef HET_TF_KERNELS_STORE_EMBEDDING_STORE_H_
#define HET_TF_KERNELS_STORE_EMBEDDING_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/store/checkpoint.h"
#include "kernels/store/exchange.h"
#include "kernels/store/table_spec.h"

namespace het {

struct TableStats {
  std::string name;
  std::size_t dimension = 0;
  std::string optimizer;
  std::int64_t rows = 0;          // rows that have been pushed to
  std::int64_t memory_bytes = 0;  // rows, slots, clocks and index
  // Of the copies that were validated here: how many were 0, 1, 2-3, 4-7, ...
  // clock ticks behind (the last: all beyond), and the ticks added up. Empty when
  // it comes over the wire.
  std::vector<std::int64_t> staleness;
  std::int64_t staleness_sum = 0;
};

// Bytes on the wire by kind, one direction. In a process all are 0.
struct TrafficBytes {
  std::int64_t ids = 0;
  std::int64_t clocks = 0;
  std::int64_t rows = 0;
  std::int64_t gradients = 0;
  std::int64_t framing = 0;  // tags, lengths, headers: all the rest

  std::int64_t total() const {
    return ids + clocks + rows + gradients + framing;
  }
  TrafficBytes& operator+=(const TrafficBytes& other) {
    ids += other.ids;
    clocks += other.clocks;
    rows += other.rows;
    gradients += other.gradients;
    framing += other.framing;
    return *this;
  }
};

struct Traffic {
  std::int64_t exchanges = 0;  // messages, repeated ones included
  TrafficBytes sent;
  TrafficBytes received;

  Traffic& operator+=(const Traffic& other) {
    exchanges += other.exchanges;
    sent += other.sent;
    received += other.received;
    return *this;
  }
};

struct ShardStats {
  std::string address;  // empty for a shard in this process
  Incarnation incarnation = 0;
  double uptime_seconds = 0;
  std::int64_t workers = 0;             // worker incarnations seen
  std::int64_t exchanges = 0;           // applied
  std::int64_t repeated_exchanges = 0;  // recognised and not applied again
  Traffic traffic;                      // as the shard counts it
  std::vector<TableStats> tables;       // by name
  std::int64_t memory_limit_bytes = 0;  // of all rows; 0: none
  // Of a shard behind a server:
  std::map<std::string, std::int64_t> refused;  // callers, by reason
  std::int64_t connections = 0;                 // open now
  std::uint32_t index = 0;                      // place; count 0: not known yet
  std::uint32_t count = 0;
};

class EmbeddingStore {
 public:
  // Called exactly once, on any thread, possibly before Exchange returns and
  // with no lock of the store held. When the status is not OK the reply is
  // empty.
  using ExchangeDone = std::function<void(Status, ExchangeReply)>;

  virtual ~EmbeddingStore() = default;

  // Starts one exchange; never blocks on the network. The request and the
  // arrays it views stay alive and unchanged until `done` is called, and the
  // store does not touch them afterwards. A store that waits for somebody else
  // does so within a deadline of its own: `done` always comes. A request
  // that breaks a rule (unknown table, arrays of unequal length, negative
  // clock, ...) is refused whole: nothing of it is applied. What a shard has no
  // room for is refused by that shard, of a large exchange in the piece that has it.
  virtual void Exchange(const ExchangeRequest& request, ExchangeDone done) = 0;

  // Creates the table, or confirms that it exists with this very spec, or gives
  // its optimizer to a table that has none (BringsOptimizer). Blocks.
  virtual Status CreateTable(const TableSpec& spec) = 0;

  // Overwrites rows from outside of training: values become `rows` (ids.size()
  // x dimension), slots those of a new row, and the clock moves so far that
  // every copy made before fails validation at `staleness`
  // (ClockAfterAssign). At least once, row by row: it may be repeated, so a push
  // by anybody while it runs is applied before or after the new value, and in
  // the first case is lost; a read may see some rows new and others old. Use it
  // while nobody trains. Blocks.
  virtual Status Assign(TableId table, Staleness staleness,
                        Span<const RowId> ids, Span<const float> rows) = 0;

  // Begins a checkpoint: the rows as they are between two exchanges, with every
  // push that has been acknowledged, are written in the background. Says how
  // far it is when called again with the same `call` (and without `begin`); an
  // error of the writing is then the answer. FAILED_PRECONDITION: another one is
  // under way, or `base` is not what the shard has written last, or a shard that
  // had begun has been restarted. Blocks for the cut alone.
  virtual Result<CheckpointProgress> Snapshot(
      const SnapshotRequest& request) = 0;

  // Begins to read the rows of a checkpoint, written by any number of shards,
  // and says how far it is as Snapshot does. When it is done, `commit` puts them
  // in the place of all rows that are there; tables that the checkpoint does not
  // have are as new. Until then, and after an error, everything is as before.
  // Clocks go back: caches have to forget their copies. DATA_LOSS: a file is
  // damaged; FAILED_PRECONDITION: there is a table with another spec.
  virtual Result<CheckpointProgress> Restore(const RestoreRequest& request) = 0;

  // One entry per shard. Blocks.
  virtual Result<std::vector<ShardStats>> Stats() = 0;

  // True when nobody but this object's user can push to the rows: a copy that
  // contains all of its own pushes then never breaks the read staleness, and
  // need not be validated.
  virtual bool sole_writer() const { return false; }

  // What this object itself has put on the wire and taken from it.
  virtual Traffic traffic() const = 0;
};

// Runs one exchange and waits for it; for tools and tests.
Result<ExchangeReply> ExchangeAndWait(EmbeddingStore& store,
                                      const ExchangeRequest& request);

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_EMBEDDING_STORE_H_
