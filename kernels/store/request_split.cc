#include "kernels/store/request_split.h"

#include <algorithm>
#include <utility>

namespace het {

RequestSplit::RequestSplit(const ExchangeRequest& request,
                           const std::vector<std::size_t>& dimensions,
                           const Router& router)
    : parts_(router.shards()) {
  sizes_.reserve(request.tables.size());
  for (std::size_t t = 0; t < request.tables.size(); ++t) {
    const TableExchange& exchange = request.tables[t];
    sizes_.push_back({exchange.validate_ids.size(), exchange.fetch_ids.size(),
                      dimensions[t]});
    Cut(exchange, t, dimensions[t], router);
  }
  for (ShardPart& part : parts_) {
    part.request.header = request.header;
    for (const TablePart& table : part.tables) {
      const TableExchange& whole = request.tables[table.table];
      TableExchange exchange;
      exchange.table = whole.table;
      exchange.staleness = whole.staleness;
      exchange.push_ids = table.push_ids;
      exchange.push_clocks = table.push_clocks;
      exchange.push_learning_rates = table.push_learning_rates;
      exchange.push_gradients = table.push_gradients;
      exchange.validate_ids = table.validate_ids;
      exchange.validate_clocks = table.validate_clocks;
      exchange.fetch_ids = table.fetch_ids;
      part.request.tables.push_back(exchange);
    }
  }
}

void RequestSplit::Cut(const TableExchange& exchange, std::size_t table,
                       std::size_t dimension, const Router& router) {
  std::vector<TablePart> cut(parts_.size());
  for (std::size_t i = 0; i < exchange.push_ids.size(); ++i) {
    TablePart& part = cut[router.ShardOf(exchange.push_ids[i])];
    part.push_ids.push_back(exchange.push_ids[i]);
    part.push_clocks.push_back(exchange.push_clocks[i]);
    part.push_learning_rates.push_back(exchange.push_learning_rates[i]);
    const float* gradient = &exchange.push_gradients[i * dimension];
    part.push_gradients.insert(part.push_gradients.end(), gradient,
                               gradient + dimension);
  }
  for (std::size_t i = 0; i < exchange.validate_ids.size(); ++i) {
    TablePart& part = cut[router.ShardOf(exchange.validate_ids[i])];
    part.validate_ids.push_back(exchange.validate_ids[i]);
    part.validate_clocks.push_back(exchange.validate_clocks[i]);
    part.validate_positions.push_back(static_cast<std::uint32_t>(i));
  }
  for (std::size_t i = 0; i < exchange.fetch_ids.size(); ++i) {
    TablePart& part = cut[router.ShardOf(exchange.fetch_ids[i])];
    part.fetch_ids.push_back(exchange.fetch_ids[i]);
    part.fetch_positions.push_back(static_cast<std::uint32_t>(i));
  }
  for (std::size_t s = 0; s < cut.size(); ++s) {
    TablePart& part = cut[s];
    if (part.push_ids.empty() && part.validate_ids.empty() &&
        part.fetch_ids.empty()) {
      continue;
    }
    part.table = table;
    parts_[s].tables.push_back(std::move(part));
  }
}

ExchangeReply RequestSplit::PrepareReply() const {
  ExchangeReply whole;
  whole.tables.resize(sizes_.size());
  for (std::size_t t = 0; t < sizes_.size(); ++t) {
    whole.tables[t].dimension = sizes_[t].dimension;
    whole.tables[t].validated.resize(sizes_[t].validate);
    whole.tables[t].fetched.resize(sizes_[t].fetch);
  }
  return whole;
}

Status RequestSplit::CheckReply(std::size_t shard,
                                const ExchangeReply& reply) const {
  const std::vector<TablePart>& tables = parts_[shard].tables;
  if (reply.tables.size() != tables.size()) {
    return Internal("shard ", shard, " replied about ", reply.tables.size(),
                    " tables, expected ", tables.size());
  }
  for (std::size_t p = 0; p < tables.size(); ++p) {
    const TableReply& answer = reply.tables[p];
    if (answer.validated.size() != tables[p].validate_ids.size() ||
        answer.fetched.size() != tables[p].fetch_ids.size()) {
      return Internal("shard ", shard, " replied with ",
                      answer.validated.size(), " validated and ",
                      answer.fetched.size(), " fetched rows, expected ",
                      tables[p].validate_ids.size(), " and ",
                      tables[p].fetch_ids.size());
    }
    // Without a row the dimension need not be known.
    const bool rows =
        !answer.fetched.empty() ||
        std::any_of(answer.validated.begin(), answer.validated.end(),
                    [](const RowView& row) { return row.values != nullptr; });
    const std::size_t dimension = sizes_[tables[p].table].dimension;
    if (rows && answer.dimension != dimension) {
      return Internal("shard ", shard, " replied with rows of dimension ",
                      answer.dimension, ", expected ", dimension);
    }
  }
  return OkStatus();
}

Status RequestSplit::Merge(std::size_t shard, ExchangeReply reply,
                           ExchangeReply* whole) const {
  HET_RETURN_IF_ERROR(CheckReply(shard, reply));
  const ShardPart& part = parts_[shard];
  for (std::size_t p = 0; p < part.tables.size(); ++p) {
    const TablePart& table = part.tables[p];
    TableReply& answer = whole->tables[table.table];
    for (std::size_t i = 0; i < table.validate_positions.size(); ++i) {
      answer.validated[table.validate_positions[i]] =
          reply.tables[p].validated[i];
    }
    for (std::size_t i = 0; i < table.fetch_positions.size(); ++i) {
      answer.fetched[table.fetch_positions[i]] = reply.tables[p].fetched[i];
    }
  }
  for (auto& buffer : reply.buffers) {
    whole->buffers.push_back(std::move(buffer));
  }
  return OkStatus();
}

}  // namespace het
