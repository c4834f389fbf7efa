#include "kernels/store/request_split.h"

#include <algorithm>
#include <utility>

#include "kernels/base/buffers.h"
#include "kernels/base/prefetch.h"
#include "kernels/store/sorted_order.h"

namespace het {
namespace {

// Rows of gradients that are asked of memory ahead of the one that is copied.
constexpr std::size_t kAhead = 16;

template <typename T>
std::vector<T> Take(Span<const T> from,
                    const std::vector<std::uint32_t>& positions) {
  std::vector<T> taken(positions.size());
  for (std::size_t i = 0; i < positions.size(); ++i) {
    taken[i] = from[positions[i]];
  }
  return taken;
}

}  // namespace

RequestSplit::RequestSplit(const ExchangeRequest& request,
                           const std::vector<std::size_t>& dimensions,
                           const Router& router)
    : parts_(router.shards()) {
  cuts_.reserve(request.tables.size());
  for (ShardPart& part : parts_) part.request.header = request.header;
  for (std::size_t t = 0; t < request.tables.size(); ++t) {
    const TableExchange& whole = request.tables[t];
    cuts_.push_back(Cut(whole, dimensions[t], router));
    const TableCut& cut = cuts_.back();
    for (std::size_t s = 0; s < parts_.size(); ++s) {
      const auto part_of = [s](const Order& order, const auto& array) {
        return Span(array.data() + order.begin[s],
                    order.begin[s + 1] - order.begin[s]);
      };
      TableExchange part;
      part.table = whole.table;
      part.staleness = whole.staleness;
      part.round = whole.round;
      part.row_format = whole.row_format;
      part.gradient_format = whole.gradient_format;
      part.push_ids = part_of(cut.push, cut.push_ids);
      part.push_clocks = part_of(cut.push, cut.push_clocks);
      part.push_learning_rates = part_of(cut.push, cut.push_learning_rates);
      part.push_gradients = Span<const float>(
          cut.push_gradients.get() + cut.push.begin[s] * cut.dimension,
          part.push_ids.size() * cut.dimension);
      part.gradients_owner = cut.push_gradients;
      part.validate_ids = part_of(cut.validate, cut.validate_ids);
      part.validate_clocks = part_of(cut.validate, cut.validate_clocks);
      part.fetch_ids = part_of(cut.fetch, cut.fetch_ids);
      if (part.empty()) continue;
      parts_[s].tables.push_back(t);
      parts_[s].request.tables.push_back(part);
    }
  }
}

RequestSplit::Order RequestSplit::OrderByShard(Span<const RowId> ids,
                                               const Router& router) {
  Order order;
  order.begin.resize(router.shards() + 1);
  std::vector<std::uint32_t> sorted = SortedOrder(ids);
  if (router.shards() == 1) {
    order.begin[1] = static_cast<std::uint32_t>(ids.size());
    order.positions = std::move(sorted);
    return order;
  }
  // A counting sort by shard, stable, so that every part stays sorted by id.
  static_assert(kPartitions <= 1 << 16);
  std::vector<std::uint16_t> shards(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    shards[i] = static_cast<std::uint16_t>(router.ShardOf(ids[sorted[i]]));
    ++order.begin[shards[i] + std::size_t{1}];
  }
  for (std::size_t s = 0; s < router.shards(); ++s) {
    order.begin[s + 1] += order.begin[s];
  }
  std::vector<std::uint32_t> next(order.begin.begin(), order.begin.end() - 1);
  order.positions.resize(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    order.positions[next[shards[i]]++] = sorted[i];
  }
  return order;
}

RequestSplit::TableCut RequestSplit::Cut(const TableExchange& exchange,
                                         std::size_t dimension,
                                         const Router& router) {
  TableCut cut;
  cut.dimension = dimension;
  cut.push = OrderByShard(exchange.push_ids, router);
  const std::vector<std::uint32_t>& pushed = cut.push.positions;
  cut.push_ids = Take(exchange.push_ids, pushed);
  cut.push_clocks = Take(exchange.push_clocks, pushed);
  cut.push_learning_rates = Take(exchange.push_learning_rates, pushed);
  cut.push_gradients = TakeArray<float>(pushed.size() * dimension);
  for (std::size_t i = 0; i < pushed.size(); ++i) {
    if (i + kAhead < pushed.size()) {
      PrefetchLine(&exchange.push_gradients[pushed[i + kAhead] * dimension]);
    }
    std::copy_n(&exchange.push_gradients[pushed[i] * dimension], dimension,
                &cut.push_gradients[i * dimension]);
  }
  cut.validate = OrderByShard(exchange.validate_ids, router);
  cut.validate_ids = Take(exchange.validate_ids, cut.validate.positions);
  cut.validate_clocks = Take(exchange.validate_clocks, cut.validate.positions);
  cut.fetch = OrderByShard(exchange.fetch_ids, router);
  cut.fetch_ids = Take(exchange.fetch_ids, cut.fetch.positions);
  return cut;
}

ExchangeReply RequestSplit::PrepareReply() const {
  ExchangeReply whole;
  whole.tables.resize(cuts_.size());
  for (std::size_t t = 0; t < cuts_.size(); ++t) {
    whole.tables[t].dimension = cuts_[t].dimension;
    whole.tables[t].validated.resize(cuts_[t].validate_ids.size());
    whole.tables[t].fetched.resize(cuts_[t].fetch_ids.size());
  }
  return whole;
}

Status RequestSplit::Merge(std::size_t shard, ExchangeReply reply,
                           ExchangeReply* whole) const {
  const ShardPart& part = parts_[shard];
  if (reply.tables.size() != part.tables.size()) {
    return Internal("shard ", shard, " replied about ", reply.tables.size(),
                    " tables, expected ", part.tables.size());
  }
  for (std::size_t p = 0; p < part.tables.size(); ++p) {
    const TableCut& cut = cuts_[part.tables[p]];
    const TableReply& from = reply.tables[p];
    TableReply& to = whole->tables[part.tables[p]];
    if (from.dimension != cut.dimension && from.dimension != 0) {
      return Internal("shard ", shard, " replied with rows of dimension ", from.dimension,
                      ", expected ", cut.dimension);
    }
    const std::uint32_t validated =
        cut.validate.begin[shard + 1] - cut.validate.begin[shard];
    const std::uint32_t fetched =
        cut.fetch.begin[shard + 1] - cut.fetch.begin[shard];
    if (from.validated.size() != validated || from.fetched.size() != fetched) {
      return Internal("shard ", shard, " replied with ", from.fetched.size(),
                      " rows fetched and ", from.validated.size(),
                      " validated, expected ", fetched, " and ", validated);
    }
    const auto place = [shard](const Order& order,
                               const std::vector<RowView>& rows,
                               std::vector<RowView>* places) {
      const std::uint32_t* position =
          order.positions.data() + order.begin[shard];
      for (const RowView& row : rows) (*places)[*position++] = row;
    };
    place(cut.validate, from.validated, &to.validated);
    place(cut.fetch, from.fetched, &to.fetched);
  }
  for (auto& buffer : reply.buffers) {
    whole->buffers.push_back(std::move(buffer));
  }
  return OkStatus();
}

}  // namespace het
