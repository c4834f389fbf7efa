// ExchangeRequest and ExchangeReply: the one hot call of the project. A single
// exchange pushes gradients, validates cached rows and fetches others, for any
// number of tables.
//
// Both are values. The request's arrays are views: whoever starts an exchange
// keeps them alive and unchanged until it has the reply. A reply owns the
// memory its rows point into (`buffers`), which nobody changes any more, so that
// rows need not be copied between the shard and the cache.

#ifndef HET_TF_KERNELS_STORE_EXCHANGE_H_
#define HET_TF_KERNELS_STORE_EXCHANGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/types.h"
#include "kernels/store/wire_format.h"

namespace het {

// Says whose exchange this is, so that a repeated one is recognised. Filled in
// by RetryingStore, checked by Shard; everyone else passes it on.
struct ExchangeHeader {
  Incarnation worker = 0;
  // The shard incarnation the worker's entries come from. A shard refuses an
  // exchange meant for another incarnation with FAILED_PRECONDITION.
  Incarnation shard = 0;
  // 1, 2, 3, ... per (worker, shard). A shard applies one worker's exchanges
  // in this order; for a repeated one it skips the pushes and redoes the read.
  std::uint64_t sequence = 0;
};

// One table's part of an exchange. Pushes are applied first, then the reads
// are answered, so a fetch sees the pushes it travels with.
struct TableExchange {
  TableId table = 0;

  // Row i gets gradient push_gradients[i * dimension ...], applied as one step
  // with push_learning_rates[i]; its clock becomes max(c_g, push_clocks[i]).
  // An id given twice takes two steps, in order.
  Span<const RowId> push_ids;
  Span<const Clock> push_clocks;
  Span<const float> push_learning_rates;
  Span<const float> push_gradients;  // push_ids.size() x dimension
  // Of push_gradients, if they may be referred to for longer than until the
  // reply and do not change while somebody holds this; null: no.
  std::shared_ptr<const void> gradients_owner;

  // Cached copies with their clocks c_c, to be checked against `staleness`.
  Staleness staleness = 0;
  Span<const RowId> validate_ids;
  Span<const Clock> validate_clocks;

  Span<const RowId> fetch_ids;

  // Of a synchronous table (TableSpec), where the worker is: its pushes belong
  // to this round, which is its commit's number, from 1 on; its reads see all
  // rounds before this one, closed, and nothing of it. 0, for exchanges that do
  // not push: a reader that trains nothing sees what has been pushed.
  std::uint64_t round = 0;

  // How the rows of the reply and push_gradients travel where there is a wire.
  WireFormat row_format = WireFormat::kFloat32;
  WireFormat gradient_format = WireFormat::kFloat32;

  bool empty() const {
    return push_ids.empty() && validate_ids.empty() && fetch_ids.empty();
  }
};

struct ExchangeRequest {
  ExchangeHeader header;
  std::vector<TableExchange> tables;  // each table at most once
};

// A row as the shard had it when it answered. A row that nobody has pushed to
// comes without values: whoever asked computes them with the table's
// Initializer, which gives the same bits everywhere.
struct RowView {
  const float* values = nullptr;  // dimension floats, alive with the reply
  Clock clock = 0;                // c_g
  float step_scale = 1.0f;        // Optimizer::StepScale of the row
  bool initial = false;           // nobody has pushed to it: `values` is null

  // False: of a validated row, that the copy may be used.
  bool answered() const { return values != nullptr || initial; }
};

struct TableReply {
  // Of the rows; 0 when no row has values and the wire does not tell.
  std::size_t dimension = 0;
  // Position by position as in validate_ids; not answered() means that the
  // copy may be used (`clock` and `step_scale` are then meaningless).
  std::vector<RowView> validated;
  // Position by position as in fetch_ids.
  std::vector<RowView> fetched;
};

struct ExchangeReply {
  std::vector<TableReply> tables;  // as in the request
  std::vector<std::shared_ptr<const void>> buffers;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_EXCHANGE_H_
