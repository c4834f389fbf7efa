#include "kernels/testing/staleness_oracle.h"

#include <algorithm>
#include <cstring>
#include <ostream>

#include "kernels/testing/initial_row.h"
#include "kernels/testing/wrapped_store.h"

namespace het {
namespace {

// a + b, or the largest clock: the arithmetic of clocks, written once more.
Clock Plus(Clock a, Staleness b) {
  return b == kUnboundedStaleness ? kUnboundedStaleness : a + b;
}

// A row in a message; made text only when the message is needed.
struct Text {
  const float* values;
  std::size_t count;
};

std::ostream& operator<<(std::ostream& out, const Text& row) {
  out << "(";
  for (std::size_t i = 0; i < row.count; ++i) {
    out << (i > 0 ? ", " : "") << row.values[i];
  }
  return out << ")";
}

}  // namespace

class StalenessOracle::ShardWatch final : public WrappedStore {
 public:
  ShardWatch(std::shared_ptr<StalenessOracle> oracle,
             std::shared_ptr<EmbeddingStore> shard, std::size_t number)
      : WrappedStore(std::move(shard)),
        oracle_(std::move(oracle)),
        number_(number) {}

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    store().Exchange(request, [this, &request, done = std::move(done)](
                                  Status status, ExchangeReply reply) {
      if (status.ok()) oracle_->Executed(number_, request, reply);
      done(std::move(status), std::move(reply));
    });
  }

 private:
  const std::shared_ptr<StalenessOracle> oracle_;
  const std::size_t number_;
};

class StalenessOracle::WorkerWatch final : public WrappedStore {
 public:
  WorkerWatch(std::shared_ptr<StalenessOracle> oracle,
              std::shared_ptr<EmbeddingStore> store, std::size_t worker)
      : WrappedStore(std::move(store)),
        oracle_(std::move(oracle)),
        worker_(worker) {}

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    oracle_->Sent(worker_, request);
    store().Exchange(request, [this, &request, done = std::move(done)](
                                  Status status, ExchangeReply reply) {
      if (status.ok()) oracle_->Answered(worker_, request, reply);
      done(std::move(status), std::move(reply));
    });
  }

 private:
  const std::shared_ptr<StalenessOracle> oracle_;
  const std::size_t worker_;
};

StalenessOracle::StalenessOracle(const TableSpec& table, Staleness staleness)
    : table_(table),
      table_id_(table.id()),
      staleness_(staleness),
      initializer_(std::move(*CreateInitializer(table.initializer, table.seed))),
      optimizer_(std::move(*CreateOptimizer(table.optimizer))) {}

std::shared_ptr<EmbeddingStore> StalenessOracle::WatchShard(
    std::shared_ptr<EmbeddingStore> shard, std::size_t number) {
  return std::make_shared<ShardWatch>(shared_from_this(), std::move(shard),
                                      number);
}

std::shared_ptr<EmbeddingStore> StalenessOracle::WatchWorker(
    std::shared_ptr<EmbeddingStore> store, std::size_t worker) {
  return std::make_shared<WorkerWatch>(shared_from_this(), std::move(store),
                                       worker);
}

StalenessOracle::Row& StalenessOracle::RowOf(RowId id) {
  Row& row = rows_[id];
  if (row.values.empty()) {
    row.values.resize(table_.dimension);
    row.slots.resize(optimizer_->SlotCount(table_.dimension));
    row.applied.resize(table_.dimension);
    initializer_->Fill(table_id_, id, table_.dimension, row.values.data());
    optimizer_->InitializeSlots(table_.dimension, row.slots.data());
  }
  return row;
}

StalenessOracle::Copy& StalenessOracle::CopyOf(std::size_t worker, RowId id) {
  Copy& copy = copies_[{worker, id}];
  copy.values.resize(table_.dimension);
  copy.produced.resize(table_.dimension);
  return copy;
}

// --- At the shard. ----------------------------------------------------------

void StalenessOracle::Executed(std::size_t shard,
                               const ExchangeRequest& request,
                               const ExchangeReply& reply) {
  const bool first = applied_
                         .insert({shard, request.header.worker,
                                  request.header.sequence})
                         .second;
  const std::size_t dimension = table_.dimension;
  for (std::size_t t = 0; t < request.tables.size(); ++t) {
    const TableExchange& exchange = request.tables[t];
    for (std::size_t i = 0; first && i < exchange.push_ids.size(); ++i) {
      Row& row = RowOf(exchange.push_ids[i]);
      const float rate = exchange.push_learning_rates[i];
      const float* gradient = &exchange.push_gradients[i * dimension];
      optimizer_->Step(rate, gradient, dimension, row.values.data(),
                       row.slots.data());
      row.clock = std::max(row.clock, exchange.push_clocks[i]);
      row.pushed = true;
      for (std::size_t d = 0; d < dimension; ++d) {
        row.applied[d] += optimizer_->linear() ? rate * gradient[d]
                                               : gradient[d];
      }
    }
    const auto check_row = [&](RowId id, const RowView& view) {
      const Row& row = RowOf(id);
      Expect(view.initial == !row.pushed, 0, "row ", id,
             view.initial ? " was sent as initial, but has been pushed to"
                          : " was sent with values before its first push");
      Expect(view.clock == row.clock, 0, "row ", id, " was sent with clock ",
             view.clock, ", the maximum of its pushes is ", row.clock);
      Expect(view.initial ||
                 std::memcmp(view.values, row.values.data(),
                             dimension * sizeof(float)) == 0,
             3, "row ", id, " was sent as ", Text{view.values, dimension},
             ", its pushes make ", Text{row.values.data(), dimension});
    };
    const TableReply& answer = reply.tables[t];
    for (std::size_t i = 0; i < exchange.fetch_ids.size(); ++i) {
      check_row(exchange.fetch_ids[i], answer.fetched[i]);
    }
    for (std::size_t i = 0; i < exchange.validate_ids.size(); ++i) {
      const RowId id = exchange.validate_ids[i];
      const Clock current = exchange.validate_clocks[i];
      const Clock global = RowOf(id).clock;
      if (answer.validated[i].answered()) {
        Expect(global > Plus(current, staleness_), 0, "row ", id,
               " was sent though its copy at c_c=", current,
               " is valid against c_g=", global);
        check_row(id, answer.validated[i]);
        continue;
      }
      Expect(global <= Plus(current, staleness_), 2, "row ", id,
             ": a copy at c_c=", current, " was found valid against c_g=",
             global, " with s=", staleness_);
      validations_.push_back({request.header.worker, id, current, global});
    }
  }
}

// --- At the worker. ---------------------------------------------------------

void StalenessOracle::Sent(std::size_t worker, const ExchangeRequest& request) {
  for (const TableExchange& exchange : request.tables) {
    for (std::size_t i = 0; i < exchange.push_ids.size(); ++i) {
      const RowId id = exchange.push_ids[i];
      Copy& copy = CopyOf(worker, id);
      // A commit to a row that had been evicted is not in the push of what was
      // evicted; the clock tells how many such commits there are.
      const Clock later = copy.current - exchange.push_clocks[i];
      const Clock covered = static_cast<Clock>(copy.uncovered.size()) - later;
      Expect(later >= 0 && covered > 0, 3, "worker ", worker, " pushes row ",
             id, " at clock ", exchange.push_clocks[i], ", its copy stands at ",
             copy.current, " with ", copy.uncovered.size(),
             " commits that no push contains");
      std::vector<float> sum(table_.dimension);
      for (Clock c = 0; c < covered && !copy.uncovered.empty(); ++c) {
        for (std::size_t d = 0; d < sum.size(); ++d) {
          sum[d] += copy.uncovered.front()[d];
        }
        copy.uncovered.pop_front();
      }
      const float* gradient = &exchange.push_gradients[i * table_.dimension];
      const float rate =
          optimizer_->linear() ? exchange.push_learning_rates[i] : 1.0f;
      for (std::size_t d = 0; d < sum.size(); ++d) {
        Expect(sum[d] == rate * gradient[d], 3, "worker ", worker,
               " pushes row ", id, " with gradient ",
               Text{gradient, table_.dimension}, ", its commits make ",
               Text{sum.data(), table_.dimension});
      }
    }
    for (std::size_t i = 0; i < exchange.validate_ids.size(); ++i) {
      const RowId id = exchange.validate_ids[i];
      const Copy& copy = CopyOf(worker, id);
      const Clock current = exchange.validate_clocks[i];
      // Own commits may have been made while the exchange waited for its turn.
      Expect(current <= copy.current &&
                 copy.current - current <=
                     static_cast<Clock>(copy.uncovered.size()),
             0, "worker ", worker,
             " validates row ", id, " at clock ", current,
             ", its copy stands at ", copy.current);
      Expect(current <= Plus(copy.start, staleness_), 1, "worker ", worker,
             " validates row ", id, " at c_c=", current, ", c_s=", copy.start,
             ", s=", staleness_);
    }
  }
}

void StalenessOracle::Answered(std::size_t worker,
                               const ExchangeRequest& request,
                               const ExchangeReply& reply) {
  for (std::size_t t = 0; t < request.tables.size(); ++t) {
    const TableExchange& exchange = request.tables[t];
    const TableReply& answer = reply.tables[t];
    for (std::size_t i = 0; i < exchange.fetch_ids.size(); ++i) {
      Replace(worker, exchange.fetch_ids[i], answer.fetched[i]);
    }
    for (std::size_t i = 0; i < exchange.validate_ids.size(); ++i) {
      const RowId id = exchange.validate_ids[i];
      if (answer.validated[i].answered()) {
        Replace(worker, id, answer.validated[i]);
      } else {
        ++CopyOf(worker, id).answers;
      }
    }
  }
}

void StalenessOracle::Replace(std::size_t worker, RowId id,
                              const RowView& row) {
  Copy& copy = CopyOf(worker, id);
  ++copy.answers;
  ++copy.fetches;
  copy.start = row.clock;
  copy.current = row.clock + static_cast<Clock>(copy.uncovered.size());
  const std::vector<float> values = ValuesOf(row, table_, id);
  for (std::size_t d = 0; d < table_.dimension; ++d) {
    copy.values[d] = values[d];
    for (const auto& commit : copy.uncovered) copy.values[d] -= commit[d];
  }
}

void StalenessOracle::Commit(std::size_t worker, const std::vector<RowId>& ids,
                             const std::vector<float>& gradients,
                             float learning_rate) {
  const float* gradient = gradients.data();
  for (const RowId id : ids) {
    Copy& copy = CopyOf(worker, id);
    copy.uncovered.emplace_back(table_.dimension);
    ++copy.current;
    for (std::size_t d = 0; d < table_.dimension; ++d) {
      const float step = optimizer_->linear() ? learning_rate * gradient[d]
                                              : gradient[d];
      copy.uncovered.back()[d] = step;
      copy.values[d] -= step;
      copy.produced[d] += step;
    }
    gradient += table_.dimension;
  }
}

StalenessOracle::ReadStart StalenessOracle::BeginRead(std::size_t worker,
                                                      RowId id, int ahead) {
  const Copy& copy = CopyOf(worker, id);
  return {id, copy.answers, copy.fetches,
          copy.current - ahead > Plus(copy.start, staleness_)};
}

void StalenessOracle::CheckRead(std::size_t worker, const ReadStart& start,
                                const float* row) {
  const RowId id = start.id;
  const Copy& copy = CopyOf(worker, id);
  Expect(copy.answers > start.answers ||
             (staleness_ == kUnboundedStaleness && copy.answers > 0),
         2, "worker ", worker, " reads row ", id,
         " without having asked the shard");
  Expect(!start.used_up || copy.fetches > start.fetches, 1, "worker ", worker,
         " reads row ", id, " beyond its write staleness: c_c=", copy.current,
         ", c_s=", copy.start, ", s=", staleness_);
  if (!optimizer_->linear()) return;
  Expect(std::memcmp(row, copy.values.data(),
                     table_.dimension * sizeof(float)) == 0,
         4, "worker ", worker, " reads row ", id, " as ",
         Text{row, table_.dimension}, ", the last reply and its own pending ",
         "gradients make ", Text{copy.values.data(), table_.dimension});
}

void StalenessOracle::CheckConserved() {
  std::map<RowId, std::vector<double>> produced;
  for (const auto& [key, copy] : copies_) {
    if (copy.produced.empty()) continue;
    std::vector<double>& sum = produced[key.second];
    sum.resize(table_.dimension);
    for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += copy.produced[d];
    Expect(copy.uncovered.empty(), 3, "worker ", key.first,
           " still holds gradients of row ", key.second, " after its flush");
  }
  for (const auto& [id, sum] : produced) {
    const std::vector<double>& applied = RowOf(id).applied;
    for (std::size_t d = 0; d < sum.size(); ++d) {
      Expect(sum[d] == applied[d], 3, "row ", id, " column ", d,
             ": gradients produced sum to ", sum[d], ", applied to ",
             applied[d]);
    }
  }
}

}  // namespace het
