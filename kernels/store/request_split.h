// RequestSplit: an exchange cut into one request per shard, with the positions
// that say where each part of a reply belongs.
//
// The ids of each part are sorted, as the wire wants them (SortedOrder): pushes
// of one id stay in their order, everything else may come in any.
//
// It owns the cut arrays, one per array of the request, in which the shards'
// parts follow one another; the shards' requests view them, so it lives until
// the last shard has answered. Not thread-safe; merges of different shards touch
// different positions and may run in parallel.

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
  // `dimensions[t]` is the dimension of request.tables[t].
  RequestSplit(const ExchangeRequest& request,
               const std::vector<std::size_t>& dimensions,
               const Router& router);

  // Empty (no tables) for a shard with nothing to do.
  const ExchangeRequest& request(std::size_t shard) const {
    return parts_[shard].request;
  }

  // Moves the shard's reply to its places in `whole`, which has been sized by
  // PrepareReply. INTERNAL for a reply that does not fit the shard's request.
  Status Merge(std::size_t shard, ExchangeReply reply,
               ExchangeReply* whole) const;
  ExchangeReply PrepareReply() const;

 private:
  // An array's positions in the order in which the parts take them; shard s
  // takes those from begin[s] to begin[s + 1].
  struct Order {
    std::vector<std::uint32_t> positions;
    std::vector<std::uint32_t> begin;
  };

  // One table's arrays, cut.
  struct TableCut {
    std::size_t dimension = 0;
    Order push, validate, fetch;
    std::vector<RowId> push_ids;
    std::vector<Clock> push_clocks;
    std::vector<float> push_learning_rates;
    std::shared_ptr<float[]> push_gradients;
    std::vector<RowId> validate_ids;
    std::vector<Clock> validate_clocks;
    std::vector<RowId> fetch_ids;
  };
  struct ShardPart {
    std::vector<std::size_t> tables;  // positions in the whole request
    ExchangeRequest request;
  };

  static Order OrderByShard(Span<const RowId> ids, const Router& router);
  static TableCut Cut(const TableExchange& exchange, std::size_t dimension,
                      const Router& router);

  std::vector<TableCut> cuts_;
  std::vector<ShardPart> parts_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_REQUEST_SPLIT_H_
