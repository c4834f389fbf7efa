// StalenessOracle: knows what every row, clock and copy must be, and says where
// the real ones differ. It stands at two places: at each shard, where exchanges
// are executed one after the other, and under each worker's cache, where they
// are made and answered. Tests tell it of commits.
//
// It holds invariants 1 to 4 of docs/consistency.md and the bounds that 6
// follows from. Gradients times learning rates must be integers and the table
// trained by SGD, so that sums are exact in float32; with another optimizer
// only clocks and conservation are checked.
//
// Ownership: the watching stores share it. Not thread-safe.

#ifndef HET_TF_KERNELS_TESTING_STALENESS_ORACLE_H_
#define HET_TF_KERNELS_TESTING_STALENESS_ORACLE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/initializer/initializer.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/store/embedding_store.h"

namespace het {

// A rule that was broken: its number in docs/consistency.md, 0 for the
// contract of stores, and what happened.
struct Violation {
  int invariant = 0;
  std::string text;
};

class StalenessOracle : public std::enable_shared_from_this<StalenessOracle> {
 public:
  StalenessOracle(const TableSpec& table, Staleness staleness);

  // Between the network and a shard.
  std::shared_ptr<EmbeddingStore> WatchShard(
      std::shared_ptr<EmbeddingStore> shard, std::size_t number);
  // Between a worker's cache and its store.
  std::shared_ptr<EmbeddingStore> WatchWorker(
      std::shared_ptr<EmbeddingStore> store, std::size_t worker);

  // A commit is being made: one gradient per distinct id, merged.
  void Commit(std::size_t worker, const std::vector<RowId>& ids,
              const std::vector<float>& gradients, float learning_rate);
  // How a copy stood when a lookup of it began.
  struct ReadStart {
    RowId id;
    std::int64_t answers, fetches;
    bool used_up;  // beyond its write staleness
  };
  // `ahead`: the commits since the shard was asked, at most.
  ReadStart BeginRead(std::size_t worker, RowId id, int ahead = 0);
  // What the lookup has read. Invariant 4; that the shard was asked since the
  // lookup began; and 1: a copy that was used up has been fetched since.
  void CheckRead(std::size_t worker, const ReadStart& start, const float* row);
  // Every gradient produced has been applied, once. Invariant 3.
  void CheckConserved();

  // A copy that was found valid, and the clocks it was found valid against.
  struct Validation {
    Incarnation worker;
    RowId id;
    Clock current;
    Clock global;
  };
  std::vector<Validation> TakeValidations() {
    return std::exchange(validations_, {});
  }

  // As the shard has it.
  const std::vector<float>& row(RowId id) { return RowOf(id).values; }

  const std::vector<Violation>& violations() const { return violations_; }
  std::int64_t checks() const { return checks_; }

 private:
  class ShardWatch;
  class WorkerWatch;

  struct Row {
    std::vector<float> values;
    std::vector<float> slots;
    Clock clock = 0;
    bool pushed = false;
    std::vector<double> applied;  // sum of what pushes brought
  };
  struct Copy {
    std::vector<float> values;
    // Own commits that no push contains, oldest first.
    std::deque<std::vector<float>> uncovered;
    Clock start = 0;
    Clock current = 0;
    std::int64_t answers = 0;  // exchanges that validated or fetched it
    std::int64_t fetches = 0;
    std::vector<double> produced;
  };

  Row& RowOf(RowId id);
  Copy& CopyOf(std::size_t worker, RowId id);

  // What the shard has just done with an exchange.
  void Executed(std::size_t shard, const ExchangeRequest& request,
                const ExchangeReply& reply);
  void Sent(std::size_t worker, const ExchangeRequest& request);
  void Answered(std::size_t worker, const ExchangeRequest& request,
                const ExchangeReply& reply);
  void Replace(std::size_t worker, RowId id, const RowView& row);

  template <typename... Parts>
  void Expect(bool holds, int invariant, const Parts&... parts) {
    ++checks_;
    if (!holds && violations_.size() < 20) {
      violations_.push_back({invariant, internal::StreamToString(parts...)});
    }
  }

  const TableSpec table_;
  const TableId table_id_;
  const Staleness staleness_;
  std::unique_ptr<const Initializer> initializer_;
  std::unique_ptr<const Optimizer> optimizer_;
  std::map<RowId, Row> rows_;
  std::map<std::pair<std::size_t, RowId>, Copy> copies_;
  // (shard, worker incarnation, sequence) whose pushes have been applied.
  std::set<std::tuple<std::size_t, Incarnation, std::uint64_t>> applied_;
  std::vector<Validation> validations_;
  std::vector<Violation> violations_;
  std::int64_t checks_ = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_STALENESS_ORACLE_H_
