// RequestSplit: an exchange cut into one request per shard, and a large one of
// these into pieces, with the positions that say where each piece of a reply
// belongs.
//
// The ids of each shard are sorted, as the wire wants them (SortedOrder): pushes
// of one id stay in their order, everything else may come in any. Pieces of a
// shard are about equally large, and all pushes come before the first read, so
// that a shard that takes them one after the other answers as it would the whole.
// While one is on its way the next one is made, and one is applied while another
// one's answer is read: in one piece each of them would wait for the other.
//
// It owns the cut arrays, which the pieces' requests view, so it lives until the
// last of them has been answered; and it reads the request's gradients until the
// last piece has been prepared. Not thread-safe, but merges of different pieces
// touch different positions and may run in parallel, also to Prepare.

#ifndef HET_TF_KERNELS_STORE_REQUEST_SPLIT_H_
#define HET_TF_KERNELS_STORE_REQUEST_SPLIT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/store/exchange.h"
#include "kernels/store/router.h"

namespace het {

class RequestSplit {
 public:
  // A shard's part is not cut into more pieces than this: a worker may have many
  // exchanges under way, and a connection takes so many calls.
  static constexpr std::size_t kMaxPieces = 8;

  // `dimensions[t]` is the dimension of request.tables[t]. A piece has about
  // `piece_bytes` of rows and gradients, or one row, or an eighth of all.
  // REQUIRES: piece_bytes > 0.
  RequestSplit(const ExchangeRequest& request,
               const std::vector<std::size_t>& dimensions,
               const Router& router, std::size_t piece_bytes);

  std::size_t pieces() const { return pieces_.size(); }
  // The pieces of a shard, in their order, are those from first(shard) to
  // first(shard + 1). A shard with nothing to do has none.
  std::size_t first(std::size_t shard) const { return first_[shard]; }

  // Brings a piece's gradients together; its request. Once for each.
  const ExchangeRequest& Prepare(std::size_t piece);

  // Moves a piece's reply to its places in `whole`, which has been sized by
  // PrepareReply. INTERNAL for a reply that does not fit the piece.
  Status Merge(std::size_t piece, ExchangeReply reply,
               ExchangeReply* whole) const;
  ExchangeReply PrepareReply() const;

 private:
  // An array's positions in the order in which the shards take them; shard s
  // takes those from begin[s] to begin[s + 1].
  struct Order {
    std::vector<std::uint32_t> positions;
    std::vector<std::uint32_t> begin;
  };
  // Of such an order.
  struct Range {
    std::uint32_t begin = 0, end = 0;
    std::uint32_t size() const { return end - begin; }
  };

  // One table's arrays, cut; of the gradients, where they are.
  struct TableCut {
    std::size_t dimension = 0;
    std::size_t row_bytes = 0, gradient_bytes = 0;  // of one row on the wire
    Order push, validate, fetch;
    std::vector<RowId> push_ids;
    std::vector<Clock> push_clocks;
    std::vector<float> push_learning_rates;
    Span<const float> push_gradients;
    std::vector<RowId> validate_ids;
    std::vector<Clock> validate_clocks;
    std::vector<RowId> fetch_ids;
  };
  struct Part {
    std::size_t table = 0;  // its place in the whole request
    Range push, validate, fetch;
  };
  struct Piece {
    std::size_t shard = 0;
    std::vector<Part> parts;
    ExchangeRequest request;
  };

  static Order OrderByShard(Span<const RowId> ids, const Router& router);
  static TableCut Cut(const TableExchange& exchange, std::size_t dimension,
                      const Router& router);
  void AddPieces(std::size_t shard, std::size_t piece_bytes);
  // The piece's request, but for the gradients.
  void Describe(const ExchangeRequest& whole, Piece* piece) const;

  std::vector<TableCut> cuts_;
  std::vector<Piece> pieces_;
  std::vector<std::size_t> first_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_REQUEST_SPLIT_H_
