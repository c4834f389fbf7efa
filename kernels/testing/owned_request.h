// OwnedRequest: an exchange request with arrays of its own, for tests that keep
// a message longer than its sender does, or that build one piece by piece.
//
// A value that must stay where it is while `request()` is in use.

#ifndef HET_TF_KERNELS_TESTING_OWNED_REQUEST_H_
#define HET_TF_KERNELS_TESTING_OWNED_REQUEST_H_

#include <deque>
#include <vector>

#include "kernels/store/exchange.h"

namespace het {

class OwnedRequest {
 public:
  struct Table {
    TableId table = 0;
    Staleness staleness = 0;
    std::vector<RowId> push_ids;
    std::vector<Clock> push_clocks;
    std::vector<float> push_learning_rates;
    std::vector<float> push_gradients;
    std::vector<RowId> validate_ids;
    std::vector<Clock> validate_clocks;
    std::vector<RowId> fetch_ids;
    std::uint64_t round = 0;
    WireFormat row_format = WireFormat::kFloat32;
    WireFormat gradient_format = WireFormat::kFloat32;

    Table& Push(RowId id, Clock clock, float learning_rate,
                const std::vector<float>& gradient) {
      push_ids.push_back(id);
      push_clocks.push_back(clock);
      push_learning_rates.push_back(learning_rate);
      push_gradients.insert(push_gradients.end(), gradient.begin(),
                            gradient.end());
      return *this;
    }
    Table& Validate(RowId id, Clock clock) {
      validate_ids.push_back(id);
      validate_clocks.push_back(clock);
      return *this;
    }
    Table& Fetch(RowId id) {
      fetch_ids.push_back(id);
      return *this;
    }
  };

  OwnedRequest() = default;
  OwnedRequest(const OwnedRequest&) = delete;
  OwnedRequest& operator=(const OwnedRequest&) = delete;
  explicit OwnedRequest(const ExchangeRequest& other) { CopyFrom(other); }

  void CopyFrom(const ExchangeRequest& other) {
    header = other.header;
    tables.clear();
    const auto copy = [](auto span, auto* to) {
      to->assign(span.begin(), span.end());
    };
    for (const TableExchange& from : other.tables) {
      Table& to = Add(from.table, from.staleness);
      copy(from.push_ids, &to.push_ids);
      copy(from.push_clocks, &to.push_clocks);
      copy(from.push_learning_rates, &to.push_learning_rates);
      copy(from.push_gradients, &to.push_gradients);
      copy(from.validate_ids, &to.validate_ids);
      copy(from.validate_clocks, &to.validate_clocks);
      copy(from.fetch_ids, &to.fetch_ids);
      to.round = from.round;
      to.row_format = from.row_format;
      to.gradient_format = from.gradient_format;
    }
  }

  Table& Add(TableId table, Staleness staleness = 0) {
    tables.emplace_back();
    tables.back().table = table;
    tables.back().staleness = staleness;
    return tables.back();
  }

  // Views this object's arrays as they are now.
  const ExchangeRequest& request() {
    request_ = ExchangeRequest{header, {}};
    for (const Table& from : tables) {
      TableExchange to;
      to.table = from.table;
      to.staleness = from.staleness;
      to.push_ids = from.push_ids;
      to.push_clocks = from.push_clocks;
      to.push_learning_rates = from.push_learning_rates;
      to.push_gradients = from.push_gradients;
      to.validate_ids = from.validate_ids;
      to.validate_clocks = from.validate_clocks;
      to.fetch_ids = from.fetch_ids;
      to.round = from.round;
      to.row_format = from.row_format;
      to.gradient_format = from.gradient_format;
      request_.tables.push_back(to);
    }
    return request_;
  }

  ExchangeHeader header;
  std::deque<Table> tables;

 private:
  ExchangeRequest request_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_OWNED_REQUEST_H_
