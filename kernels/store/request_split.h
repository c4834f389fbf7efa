// RequestSplit: an exchange cut into one request per shard, with the positions
// that say where each part of a reply belongs.
//
// It owns the cut arrays; the shards' requests view them, so it lives until the
// last shard has answered. Not thread-safe; merges of different shards touch
// different positions and may run in parallel.

#ifndef HET_TF_KERNELS_STORE_REQUEST_SPLIT_H_
#define HET_TF_KERNELS_STORE_REQUEST_SPLIT_H_

#include <cstdint>
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
  // PrepareReply. INTERNAL for a reply that does not fit the shard's request;
  // `whole` is then as before.
  Status Merge(std::size_t shard, ExchangeReply reply,
               ExchangeReply* whole) const;
  ExchangeReply PrepareReply() const;

 private:
  // The arrays of one table's part at one shard.
  struct TablePart {
    std::size_t table = 0;  // position in the whole request
    std::vector<RowId> push_ids;
    std::vector<Clock> push_clocks;
    std::vector<float> push_learning_rates;
    std::vector<float> push_gradients;
    std::vector<RowId> validate_ids;
    std::vector<Clock> validate_clocks;
    std::vector<std::uint32_t> validate_positions;
    std::vector<RowId> fetch_ids;
    std::vector<std::uint32_t> fetch_positions;
  };
  struct ShardPart {
    std::vector<TablePart> tables;
    ExchangeRequest request;
  };

  Status CheckReply(std::size_t shard, const ExchangeReply& reply) const;
  void Cut(const TableExchange& exchange, std::size_t table,
           std::size_t dimension, const Router& router);

  struct TableSize {
    std::size_t validate, fetch, dimension;
  };

  std::vector<TableSize> sizes_;
  std::vector<ShardPart> parts_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_REQUEST_SPLIT_H_
