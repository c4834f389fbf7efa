// Table: the rows of one embedding table at one shard: a hash table from id to
// row, optimizer slots and clock.
//
// A row exists from its first push (or assignment). Until then reads say that it
// has its initial value, which the reader computes, and leave no trace.
//
// Memory: a row has 12 bytes beside its values and slots (id and clock) and about
// 6 in an index that grows a page at a time (RowIndex); rows live in chunks that
// never move. A table grows without a pause: no call moves more than the pages
// that its own rows fill.
// Thread-safety: all methods may be called from any thread. Ids are spread over
// stripes with a mutex each; a batch visits each stripe once for some thousands
// of its ids. A batch is atomic
// per row, not as a whole.
// A synchronous table (TableSpec) keeps the pushes of the round that is under way
// beside the rows (OpenRound). A stripe closes it, taking the steps, when a push or
// a read of a later round comes.
// Lock order: one stripe at a time (TakeRows: the other table's, then its own),
// then that of Blocks; nothing else is locked under a stripe.

#ifndef HET_TF_KERNELS_SHARD_TABLE_H_
#define HET_TF_KERNELS_SHARD_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/base/span.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/initializer/initializer.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/shard/blocks.h"
#include "kernels/shard/kept_rows.h"
#include "kernels/shard/open_round.h"
#include "kernels/shard/row_index.h"
#include "kernels/shard/snapshot_marks.h"
#include "kernels/shard/staleness_histogram.h"
#include "kernels/storage/checkpoint_file.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/exchange.h"
#include "kernels/store/table_spec.h"

namespace het {

class Table {
 public:
  // Fails as Validate(spec) does. A test may ask for less room per stripe.
  static Result<std::unique_ptr<Table>> Create(
      const TableSpec& spec,
      std::size_t max_rows_per_stripe = RowIndex::kMaxRows);

  const TableSpec& spec() const { return spec_; }

  // Makes sure that `rows` more rows find room, whatever their ids, until
  // Release(rows): of a table that is full RESOURCE_EXHAUSTED. (It has room for
  // more than a thousand million rows.)
  Status Reserve(std::size_t rows);
  void Release(std::size_t rows);

  // Of a synchronous table: FAILED_PRECONDITION for pushes of a round before one
  // that has been seen, because the workers are not in step.
  Status CheckRound(const TableExchange& exchange) const;

  // Applies one optimizer step per id, in order, creating rows that are not
  // there. A synchronous table adds them to the round (TableExchange), and rows
  // and clocks stay as they are until that is closed. REQUIRES for all: the arrays fit together (CheckTableExchange), and
  // room has been reserved for ids that are pushed or assigned.
  void Push(Span<const RowId> ids, Span<const Clock> clocks,
            Span<const float> learning_rates, Span<const float> gradients,
            std::uint64_t round = 0);

  // Copies row i to values + i * dimension and describes it in views[i]; of a
  // row that does not exist nothing is copied and the view says `initial`. Of a
  // synchronous table a read of round r closes the rounds before it and does not
  // see what has been pushed in r; one without a round closes nothing and sees
  // the rows as they would be if the open round were closed.
  void Fetch(Span<const RowId> ids, float* values, RowView* views,
             std::uint64_t round = 0) const;

  // As Fetch, but only for rows whose copy at clocks[i] breaks `staleness`;
  // the others get a view without values.
  void FetchStale(Span<const RowId> ids, Span<const Clock> clocks,
                  Staleness staleness, float* values, RowView* views,
                  std::uint64_t round = 0) const;

  // Takes the steps of every open round; the next one may have any number.
  void CloseRounds();

  // Overwrites rows: values from `rows`, slots as new, clocks moved on; open
  // rounds are closed before.
  void Assign(Staleness staleness, Span<const RowId> ids,
              Span<const float> rows);

  // Copies every row of `other`, values and clock, with new slots.
  // REQUIRES: this table is empty and not yet in use, with other's dimension.
  void TakeRows(const Table& other);

  // --- Snapshots (table_snapshot.cc): the rows as they are at one moment,
  // written while training goes on, without a second copy of the table. A row
  // that changes before it has been written is copied (KeptRows); which rows
  // have changed since the last cut is remembered for the next.

  std::size_t slots() const { return slots_; }

  // The moment: closes every open round and marks all rows, or those changed
  // since the last cut; returns whether all. One snapshot at a time; `kept`
  // outlives it. REQUIRES: nobody pushes, assigns or reads meanwhile.
  bool Cut(bool all, KeptRows* kept);
  // Copies marked rows of the cut into `block`, about most_bytes of them, each
  // once; false when there are none any more. From then on none is kept, either.
  bool TakeMarked(RowBlock* block, std::size_t most_bytes);
  // Moves rows that are kept because they have changed before they were taken
  // into `block`, those of one stripe; false when there are none. The cut has been
  // written when this is false after TakeMarked was.
  bool TakeKept(RowBlock* block);
  // After the last row, or to give up.
  void EndSnapshot();

  // Brings rows back: values, clocks and, unless the block has none, slots.
  // REQUIRES: the block fits the table; room has been reserved.
  void Load(const RowBlock& rows);

  TableStats stats() const;

  // How many of the ids have no row; one that is given twice counts twice.
  std::size_t CountNew(Span<const RowId> ids) const;
  // What the rows take, about: values, slots, clock and index. Cheap.
  std::size_t BytesOfRows() const { return rows_ * BytesOfRow(); }
  std::size_t BytesOfRow() const { return row_bytes_ + kIndexBytesOfRow; }

 private:
  static constexpr std::size_t kStripes = 64;
  static constexpr int kShareBits = 64 - RowIndex::kHashBits;

  // Followed by dimension values and the slots.
  class Row {
   public:
    explicit Row(RowId id) : id_{Half(id, 0), Half(id, 32)} {}
    RowId id() const {
      return static_cast<RowId>(std::uint64_t{id_[1]} << 32 | id_[0]);
    }
    float* values() { return reinterpret_cast<float*>(this + 1); }

   private:
    friend class Table;
    static std::uint32_t Half(RowId id, int shift) {
      return static_cast<std::uint32_t>(static_cast<std::uint64_t>(id) >> shift);
    }
    std::uint32_t id_[2];      // halves, so that rows need not be aligned to 8
    std::uint32_t clock_ = 0;  // kLargeClock: see Stripe::large_clocks
  };
  static constexpr std::uint32_t kLargeClock = 0xffffffff;
  static constexpr std::size_t kIndexBytesOfRow = 8;  // on average, and more

  struct alignas(64) Stripe {
    explicit Stripe(Blocks* segments) : index(segments) {}
    mutable Mutex mutex;
    RowIndex index HET_GUARDED_BY(mutex);
    std::vector<char*> chunks HET_GUARDED_BY(mutex);
    std::size_t rows HET_GUARDED_BY(mutex) = 0;
    OpenRound round HET_GUARDED_BY(mutex);  // of a synchronous table
    SnapshotMarks marks HET_GUARDED_BY(mutex);
    RowBlock kept HET_GUARDED_BY(mutex);  // as they were at the cut
    // Of the rows whose clock does not fit beside them.
    std::unordered_map<const Row*, Clock> large_clocks HET_GUARDED_BY(mutex);
  };

  Table(const TableSpec& spec, std::size_t max_rows_per_stripe,
        std::unique_ptr<const Initializer> initializer,
        std::unique_ptr<const Optimizer> optimizer);

  // The stripes have unequal shares of the hashes, from 1 to 2 times the
  // smallest, so that their indices are not full, and grow, all at once.
  static const std::array<std::uint8_t, std::size_t{1} << kShareBits> kStripeOf;

  // Calls visit(stripe, hash, i) for every position i with the stripe locked,
  // block by block of the positions, in a block stripe by stripe and in a
  // stripe in ascending order. A block's positions begin at `first`.
  template <typename Visit>
  void ForEach(Span<const RowId> ids, Visit visit) const;
  template <typename Visit>
  void ForEachOfBlock(Span<const RowId> ids, std::size_t first,
                      Visit visit) const;
  // Has the beginning of the row brought near that is probably meant, or gives
  // null; then the rest of such rows, once their pages have been found: walks
  // to pages, not lines, are what a large table waits for.
  const char* Prefetch(const Stripe& stripe, std::uint64_t hash) const
      HET_REQUIRES(stripe.mutex);
  void PrefetchRest(Span<const char* const> rows) const;

  Row* RowAt(const Stripe& stripe, std::size_t number) const
      HET_REQUIRES(stripe.mutex);
  // kNone when there is no such row.
  std::uint32_t Find(const Stripe& stripe, std::uint64_t hash, RowId id) const
      HET_REQUIRES(stripe.mutex);
  std::uint32_t FindOrCreate(Stripe& stripe, std::uint64_t hash, RowId id)
      HET_REQUIRES(stripe.mutex);
  std::uint32_t Create(Stripe& stripe, std::uint64_t hash, RowId id)
      HET_REQUIRES(stripe.mutex);
  // The row, of which a copy is kept if a snapshot has yet to write it.
  Row* RowToWrite(Stripe& stripe, std::uint32_t number) const
      HET_REQUIRES(stripe.mutex);
  void AppendRow(const Stripe& stripe, Row* row, RowBlock* block) const
      HET_REQUIRES(stripe.mutex);
  Clock ClockOf(const Stripe& stripe, const Row* row) const
      HET_REQUIRES(stripe.mutex);
  void SetClock(Stripe& stripe, Row* row, Clock clock) const
      HET_REQUIRES(stripe.mutex);
  // A row as a reader of a round sees it; null values: it does not exist.
  struct Seen {
    const float* values = nullptr;
    const float* slots = nullptr;
    Clock clock = 0;
  };
  // The step of an open round is taken in `scratch`, where it is to be seen.
  Seen See(const Stripe& stripe, std::uint64_t hash, RowId id,
           std::uint64_t round, std::vector<float>* scratch) const
      HET_REQUIRES(stripe.mutex);
  void Copy(const Seen& row, float* values, RowView* view) const;
  // Closes a stripe's open round if it comes before `round`.
  void CloseBefore(Stripe& stripe, std::uint64_t round) const
      HET_REQUIRES(stripe.mutex);
  void Close(Stripe& stripe) const HET_REQUIRES(stripe.mutex);
  void NoteRound(std::uint64_t round) const;

  const TableSpec spec_;
  const TableId id_;
  const std::size_t dimension_;
  const std::unique_ptr<const Initializer> initializer_;
  const std::unique_ptr<const Optimizer> optimizer_;
  const std::size_t slots_;
  const std::size_t row_bytes_;
  const int chunk_shift_;  // a chunk has 2^chunk_shift_ rows
  const std::size_t max_rows_per_stripe_;
  float initial_step_scale_ = 1.0f;
  mutable std::atomic<std::uint64_t> newest_round_{0};
  KeptRows* kept_ = nullptr;  // of the last cut
  std::size_t scan_ = 0;      // stripe at which TakeMarked is
  std::atomic<std::size_t> reserved_{0};
  std::atomic<std::size_t> fullest_{0};  // rows of the fullest stripe
  std::atomic<std::size_t> rows_{0};
  mutable StalenessHistogram staleness_;
  Blocks segments_{RowIndex::kSegmentBytes};
  Blocks chunks_;
  mutable std::vector<std::unique_ptr<Stripe>> stripes_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_TABLE_H_
