// Table: the rows of one embedding table at one shard: a hash table from id to
// row, optimizer slots and clock.
//
// A row exists from its first push (or assignment). Until then reads say that it
// has its initial value, which the reader computes, and leave no trace.
//
// Memory: rows live in chunks that never move, so growth copies no row; the
// index costs 8 bytes per bucket at a load of at most 3/4, a row 16 bytes
// beside its values and slots (id and clock).
// Thread-safety: all methods may be called from any thread. Ids are spread over
// stripes with a mutex each; a batch visits each stripe once. A batch is atomic
// per row, not as a whole.
// Lock order: one stripe at a time (TakeRows: the other table's, then its own);
// nothing else is locked under a stripe.

#ifndef HET_TF_KERNELS_SHARD_TABLE_H_
#define HET_TF_KERNELS_SHARD_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/base/span.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/initializer/initializer.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/exchange.h"
#include "kernels/store/table_spec.h"

namespace het {

class Table {
 public:
  // Fails as Validate(spec) does.
  static Result<std::unique_ptr<Table>> Create(const TableSpec& spec);

  const TableSpec& spec() const { return spec_; }

  // Applies one optimizer step per id, in order, creating rows that are not
  // there. REQUIRES for all: the arrays fit together (CheckTableExchange).
  void Push(Span<const RowId> ids, Span<const Clock> clocks,
            Span<const float> learning_rates, Span<const float> gradients);

  // Copies row i to values + i * dimension and describes it in views[i]; of a
  // row that does not exist nothing is copied and the view says `initial`.
  void Fetch(Span<const RowId> ids, float* values, RowView* views) const;

  // As Fetch, but only for rows whose copy at clocks[i] breaks `staleness`;
  // the others get a view without values.
  void FetchStale(Span<const RowId> ids, Span<const Clock> clocks,
                  Staleness staleness, float* values, RowView* views) const;

  // Overwrites rows: values from `rows`, slots as new, clocks moved on.
  void Assign(Staleness staleness, Span<const RowId> ids,
              Span<const float> rows);

  // Copies every row of `other`, values and clock, with new slots.
  // REQUIRES: this table is empty and not yet in use, with other's dimension.
  void TakeRows(const Table& other);

  TableStats stats() const;

 private:
  static constexpr int kStripeBits = 6;
  static constexpr std::size_t kStripes = std::size_t{1} << kStripeBits;
  static constexpr std::size_t kRowsPerChunk = 256;

  struct Row {
    RowId id;
    Clock clock;
    // dimension values, then the slots
    float* values() { return reinterpret_cast<float*>(this + 1); }
  };
  struct Bucket {
    std::uint32_t tag = 0;
    std::uint32_t row = 0;  // position of the row plus 1; 0: empty
  };
  struct Stripe {
    mutable Mutex mutex;
    std::vector<Bucket> buckets HET_GUARDED_BY(mutex);
    std::vector<std::unique_ptr<char[]>> chunks HET_GUARDED_BY(mutex);
    std::size_t rows HET_GUARDED_BY(mutex) = 0;
  };

  Table(const TableSpec& spec, std::unique_ptr<const Initializer> initializer,
        std::unique_ptr<const Optimizer> optimizer);

  // Calls visit(stripe, hash, i) for every position i, stripe by stripe with
  // the stripe locked, and in ascending order inside a stripe.
  template <typename Visit>
  void ForEach(Span<const RowId> ids, Visit visit) const;

  Row* RowAt(const Stripe& stripe, std::size_t position) const
      HET_REQUIRES(stripe.mutex);
  // Null when there is no such row.
  Row* Find(const Stripe& stripe, std::uint64_t hash, RowId id) const
      HET_REQUIRES(stripe.mutex);
  Row* FindOrCreate(Stripe& stripe, std::uint64_t hash, RowId id)
      HET_REQUIRES(stripe.mutex);
  void Grow(Stripe& stripe) HET_REQUIRES(stripe.mutex);
  void Copy(const Stripe& stripe, std::uint64_t hash, RowId id, float* values,
            RowView* view) const HET_REQUIRES(stripe.mutex);

  const TableSpec spec_;
  const TableId id_;
  const std::size_t dimension_;
  const std::unique_ptr<const Initializer> initializer_;
  const std::unique_ptr<const Optimizer> optimizer_;
  const std::size_t slots_;
  const std::size_t row_bytes_;
  float initial_step_scale_ = 1.0f;
  mutable std::array<Stripe, kStripes> stripes_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_TABLE_H_
