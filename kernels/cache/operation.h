// Operation and Flight: a call under way, and an exchange under way.
//
// An operation (a lookup, an update, a flush) advances under the cache's lock
// until it is finished or waits for flights; when the last of these lands it
// advances again. A flight belongs to the operation that started it; others
// that need one of its rows join it.
//
// Ownership: shared pointers; a flight keeps its waiters alive, the store's
// callback keeps the flight alive. Thread-safety: all fields are used under the
// lock of the cache, except that the store reads `request` and the arrays it
// views while the exchange is under way (nobody writes them then).

#ifndef HET_TF_KERNELS_CACHE_OPERATION_H_
#define HET_TF_KERNELS_CACHE_OPERATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/cache/entries.h"
#include "kernels/store/exchange.h"

namespace het {

class CacheCore;

class Operation {
 public:
  explicit Operation(std::function<void(Status)> done)
      : done_(std::move(done)) {}
  virtual ~Operation() = default;

  // Goes on as far as possible, under the lock. Returns true when finished;
  // otherwise it has made itself wait for at least one flight.
  virtual bool Advance(CacheCore& core) = 0;

  int waits_for = 0;  // flights (and, for a flush, one for all earlier ones)

  std::function<void(Status)> TakeDone() { return std::move(done_); }

 private:
  std::function<void(Status)> done_;
};

// Gradients on their way to the store, in the form an exchange takes.
struct PushBatch {
  std::vector<RowId> ids;
  std::vector<Clock> clocks;
  std::vector<float> learning_rates;
  std::vector<float> gradients;

  bool empty() const { return ids.empty(); }
  void Append(RowId id, Clock clock, float learning_rate, const float* gradient,
              std::size_t dimension) {
    ids.push_back(id);
    clocks.push_back(clock);
    learning_rates.push_back(learning_rate);
    gradients.insert(gradients.end(), gradient, gradient + dimension);
  }
  void Append(const PushBatch& other) {
    ids.insert(ids.end(), other.ids.begin(), other.ids.end());
    clocks.insert(clocks.end(), other.clocks.begin(), other.clocks.end());
    learning_rates.insert(learning_rates.end(), other.learning_rates.begin(),
                          other.learning_rates.end());
    gradients.insert(gradients.end(), other.gradients.begin(),
                     other.gradients.end());
  }
};

class Flight {
 public:
  PushBatch pushes;
  std::vector<RowId> fetch_ids;
  std::vector<Entries::Entry> fetch_entries;
  std::vector<RowId> validate_ids;
  std::vector<Clock> validate_clocks;
  std::vector<Entries::Entry> validate_entries;
  // Those that no operation uses, or none any more: pinned by the flight until
  // it lands.
  std::vector<Entries::Entry> unused;

  bool empty() const {
    return pushes.empty() && fetch_ids.empty() && validate_ids.empty();
  }
  // Rows that travel to the store, and at most from it.
  std::size_t rows_there() const { return pushes.ids.size(); }
  std::size_t rows_back() const {
    return fetch_ids.size() + validate_ids.size();
  }

  // Of a synchronous table: of the commit that is being made; 0: of a read
  // between two commits.
  std::uint64_t round = 0;

  // Set when the flight is sent.
  ExchangeRequest request;
  std::uint64_t number = 0;
  // Its number among those that fetch or validate rows (EntryState::flight).
  std::uint16_t slot = 0;
  std::vector<std::shared_ptr<Operation>> waiters;
};

// What one operation sends in one go: several when one would be too large.
using Flights = std::vector<std::shared_ptr<Flight>>;

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_OPERATION_H_
