#include "kernels/store/check_request.h"

#include <algorithm>

#include "kernels/optimizer/no_optimizer.h"

namespace het {
namespace {

bool HasNegative(Span<const Clock> clocks) {
  return std::any_of(clocks.begin(), clocks.end(),
                     [](Clock clock) { return clock < 0; });
}

}  // namespace

Status CheckTableExchange(const TableExchange& exchange,
                          const TableSpec& spec) {
  const std::size_t pushes = exchange.push_ids.size();
  if (pushes > 0 && IsNoOptimizer(spec.optimizer)) {
    return InvalidArgument("table '", spec.name, "' has no optimizer yet: ",
                           "create it with one before pushing to it");
  }
  if (spec.synchronous && pushes > 0 && exchange.round == 0) {
    return InvalidArgument("table '", spec.name, "' is synchronous: pushes ",
                           "belong to a round, from 1 on, got round 0");
  }
  if (spec.synchronous && exchange.staleness != 0) {
    return InvalidArgument("table '", spec.name, "' is synchronous: its ",
                           "staleness is 0, got ", exchange.staleness);
  }
  if (exchange.push_clocks.size() != pushes ||
      exchange.push_learning_rates.size() != pushes) {
    return InvalidArgument(
        "table '", spec.name, "': ", pushes, " rows are pushed with ",
        exchange.push_clocks.size(), " clocks and ",
        exchange.push_learning_rates.size(),
        " learning rates; expected one of each per row");
  }
  if (exchange.push_gradients.size() != pushes * spec.dimension) {
    return InvalidArgument("table '", spec.name, "': ", pushes,
                           " rows of dimension ", spec.dimension,
                           " are pushed with ", exchange.push_gradients.size(),
                           " gradient values, expected ",
                           pushes * spec.dimension);
  }
  if (exchange.validate_clocks.size() != exchange.validate_ids.size()) {
    return InvalidArgument("table '", spec.name, "': ",
                           exchange.validate_ids.size(),
                           " rows are to be validated with ",
                           exchange.validate_clocks.size(),
                           " clocks; expected one per row");
  }
  if (exchange.staleness < 0) {
    return InvalidArgument("table '", spec.name, "': staleness is ",
                           exchange.staleness, ", expected at least 0");
  }
  if (HasNegative(exchange.push_clocks) ||
      HasNegative(exchange.validate_clocks)) {
    return InvalidArgument("table '", spec.name,
                           "': a clock is negative; clocks start at 0");
  }
  return OkStatus();
}

}  // namespace het
