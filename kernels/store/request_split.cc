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
                           const Router& router, std::size_t piece_bytes) {
  cuts_.reserve(request.tables.size());
  for (std::size_t t = 0; t < request.tables.size(); ++t) {
    cuts_.push_back(Cut(request.tables[t], dimensions[t], router));
  }
  for (std::size_t s = 0; s < router.shards(); ++s) {
    first_.push_back(pieces_.size());
    AddPieces(s, piece_bytes);
  }
  first_.push_back(pieces_.size());
  for (Piece& piece : pieces_) Describe(request, &piece);
}

void RequestSplit::AddPieces(std::size_t shard, std::size_t piece_bytes) {
  const auto range_of = [shard](const Order& order) {
    return Range{order.begin[shard], order.begin[shard + 1]};
  };
  std::size_t total = 0, longest = 0;
  for (const TableCut& cut : cuts_) {
    const std::size_t pushed = range_of(cut.push).size();
    const std::size_t read =
        std::size_t{range_of(cut.validate).size()} + range_of(cut.fetch).size();
    total += pushed * cut.gradient_bytes + read * cut.row_bytes;
    if (pushed > 0) longest = std::max(longest, cut.gradient_bytes);
    if (read > 0) longest = std::max(longest, cut.row_bytes);
  }
  if (total == 0) return;
  const std::size_t pieces =
      std::min((total - 1) / piece_bytes + 1, kMaxPieces);
  // So much that none is left over for a last, small one.
  const std::size_t most = total / pieces + longest;
  std::size_t room = 0;
  constexpr std::size_t kNone = ~std::size_t{0};
  std::vector<std::size_t> part_of(cuts_.size(), kNone);  // in the last piece
  const auto take = [&](std::size_t t, const Order& order,
                        std::size_t row_bytes, Range Part::*range) {
    for (Range left = range_of(order); left.size() > 0;) {
      if (room < row_bytes) {
        pieces_.emplace_back();
        pieces_.back().shard = shard;
        std::fill(part_of.begin(), part_of.end(), kNone);
        room = most;
      }
      std::vector<Part>& parts = pieces_.back().parts;
      if (part_of[t] == kNone) {
        part_of[t] = parts.size();
        parts.emplace_back();
        parts.back().table = t;
      }
      const auto rows = static_cast<std::uint32_t>(
          std::min<std::size_t>(left.size(), room / row_bytes));
      parts[part_of[t]].*range = {left.begin, left.begin + rows};
      left.begin += rows;
      room -= rows * row_bytes;
    }
  };
  for (std::size_t t = 0; t < cuts_.size(); ++t) {
    take(t, cuts_[t].push, cuts_[t].gradient_bytes, &Part::push);
  }
  for (std::size_t t = 0; t < cuts_.size(); ++t) {
    take(t, cuts_[t].validate, cuts_[t].row_bytes, &Part::validate);
    take(t, cuts_[t].fetch, cuts_[t].row_bytes, &Part::fetch);
  }
}

void RequestSplit::Describe(const ExchangeRequest& whole, Piece* piece) const {
  piece->request.header = whole.header;
  const auto part_of = [](Range range, const auto& array) {
    return Span(array.data() + range.begin, range.size());
  };
  for (const Part& part : piece->parts) {
    const TableExchange& exchange = whole.tables[part.table];
    const TableCut& cut = cuts_[part.table];
    piece->request.tables.emplace_back();
    TableExchange& own = piece->request.tables.back();
    own.table = exchange.table;
    own.staleness = exchange.staleness;
    own.round = exchange.round;
    own.row_format = exchange.row_format;
    own.gradient_format = exchange.gradient_format;
    own.push_ids = part_of(part.push, cut.push_ids);
    own.push_clocks = part_of(part.push, cut.push_clocks);
    own.push_learning_rates = part_of(part.push, cut.push_learning_rates);
    own.validate_ids = part_of(part.validate, cut.validate_ids);
    own.validate_clocks = part_of(part.validate, cut.validate_clocks);
    own.fetch_ids = part_of(part.fetch, cut.fetch_ids);
  }
}

const ExchangeRequest& RequestSplit::Prepare(std::size_t piece) {
  Piece& prepared = pieces_[piece];
  for (std::size_t p = 0; p < prepared.parts.size(); ++p) {
    const Range range = prepared.parts[p].push;
    if (range.size() == 0) continue;
    const TableCut& cut = cuts_[prepared.parts[p].table];
    const std::size_t dimension = cut.dimension, rows = range.size();
    const std::uint32_t* const positions =
        cut.push.positions.data() + range.begin;
    auto gradients = TakeArray<float>(rows * dimension);
    for (std::size_t i = 0; i < rows; ++i) {
      if (i + kAhead < rows) {
        PrefetchLine(&cut.push_gradients[positions[i + kAhead] * dimension]);
      }
      std::copy_n(&cut.push_gradients[positions[i] * dimension], dimension,
                  &gradients[i * dimension]);
    }
    TableExchange& own = prepared.request.tables[p];
    own.push_gradients = Span<const float>(gradients.get(), rows * dimension);
    own.gradients_owner = std::move(gradients);
  }
  return prepared.request;
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
  cut.row_bytes = dimension * ValueBytes(exchange.row_format);
  cut.gradient_bytes = dimension * ValueBytes(exchange.gradient_format);
  cut.push = OrderByShard(exchange.push_ids, router);
  const std::vector<std::uint32_t>& pushed = cut.push.positions;
  cut.push_ids = Take(exchange.push_ids, pushed);
  cut.push_clocks = Take(exchange.push_clocks, pushed);
  cut.push_learning_rates = Take(exchange.push_learning_rates, pushed);
  cut.push_gradients = exchange.push_gradients;
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

Status RequestSplit::Merge(std::size_t piece, ExchangeReply reply,
                           ExchangeReply* whole) const {
  const std::size_t shard = pieces_[piece].shard;
  const std::vector<Part>& parts = pieces_[piece].parts;
  if (reply.tables.size() != parts.size()) {
    return Internal("shard ", shard, " replied about ", reply.tables.size(),
                    " tables, expected ", parts.size());
  }
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Part& part = parts[p];
    const TableCut& cut = cuts_[part.table];
    const TableReply& from = reply.tables[p];
    TableReply& to = whole->tables[part.table];
    if (from.dimension != cut.dimension && from.dimension != 0) {
      return Internal("shard ", shard, " replied with rows of dimension ", from.dimension,
                      ", expected ", cut.dimension);
    }
    if (from.validated.size() != part.validate.size() ||
        from.fetched.size() != part.fetch.size()) {
      return Internal("shard ", shard, " replied with ", from.fetched.size(),
                      " rows fetched and ", from.validated.size(),
                      " validated, expected ", part.fetch.size(), " and ",
                      part.validate.size());
    }
    const auto place = [](const Order& order, Range range,
                          const std::vector<RowView>& rows,
                          std::vector<RowView>* places) {
      const std::uint32_t* position = order.positions.data() + range.begin;
      for (const RowView& row : rows) (*places)[*position++] = row;
    };
    place(cut.validate, part.validate, from.validated, &to.validated);
    place(cut.fetch, part.fetch, from.fetched, &to.fetched);
  }
  for (auto& buffer : reply.buffers) {
    whole->buffers.push_back(std::move(buffer));
  }
  return OkStatus();
}

}  // namespace het
