#include "kernels/store/table_spec.h"

#include "kernels/base/hash.h"
#include "kernels/initializer/initializer.h"
#include "kernels/optimizer/no_optimizer.h"
#include "kernels/optimizer/optimizer.h"

namespace het {

TableId TableSpec::id() const { return HashName(name); }

Status Validate(const TableSpec& spec) {
  if (spec.name.empty()) return InvalidArgument("a table needs a name");
  if (spec.dimension < 1 || spec.dimension > kMaxDimension) {
    return InvalidArgument("table '", spec.name, "' has dimension ",
                           spec.dimension, ", expected 1 to ", kMaxDimension);
  }
  const Status initializer =
      CreateInitializer(spec.initializer, spec.seed).status();
  if (!initializer.ok()) {
    return initializer.WithContext("table '" + spec.name + "'");
  }
  return CreateOptimizer(spec.optimizer)
      .status()
      .WithContext("table '" + spec.name + "'");
}

Status CheckSameSpec(const TableSpec& existing, const TableSpec& wanted) {
  const auto differs = [&](const char* field, const auto& there,
                           const auto& here) {
    return InvalidArgument("table '", existing.name, "' exists with ", field,
                           " ", there, ", asked for ", here,
                           ": use one configuration for a table everywhere, or "
                           "another table name");
  };
  if (existing.name != wanted.name) {
    return InvalidArgument("the table names '", existing.name, "' and '",
                           wanted.name,
                           "' have the same 64-bit hash: rename one of them");
  }
  if (existing.dimension != wanted.dimension) {
    return differs("dimension", existing.dimension, wanted.dimension);
  }
  if (existing.optimizer != wanted.optimizer &&
      !IsNoOptimizer(existing.optimizer) && !IsNoOptimizer(wanted.optimizer)) {
    return differs("optimizer", ToString(existing.optimizer),
                   ToString(wanted.optimizer));
  }
  if (existing.initializer != wanted.initializer) {
    return differs("initializer", ToString(existing.initializer),
                   ToString(wanted.initializer));
  }
  if (existing.seed != wanted.seed) {
    return differs("seed", existing.seed, wanted.seed);
  }
  if (existing.synchronous != wanted.synchronous) {
    const auto name = [](bool synchronous) {
      return synchronous ? "true" : "false";
    };
    return differs("synchronous", name(existing.synchronous),
                   name(wanted.synchronous));
  }
  return OkStatus();
}

bool BringsOptimizer(const TableSpec& existing, const TableSpec& wanted) {
  return IsNoOptimizer(existing.optimizer) && !IsNoOptimizer(wanted.optimizer);
}

}  // namespace het
