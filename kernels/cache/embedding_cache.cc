#include "kernels/cache/embedding_cache.h"

#include <cmath>
#include <future>
#include <utility>

#include "kernels/cache/cache_core.h"
#include "kernels/cache/flush.h"
#include "kernels/cache/lookup.h"
#include "kernels/cache/prefetch.h"
#include "kernels/cache/update.h"
#include "kernels/optimizer/no_optimizer.h"

namespace het {
namespace {

Status Check(const TableSpec& table, const CacheOptions& options) {
  const auto refuse = [&](const char* name, auto value, const char* expected) {
    return InvalidArgument("table '", table.name, "': ", name, " is ", value,
                           ", expected ", expected);
  };
  if (options.capacity < 0) {
    return refuse("the cache's capacity", options.capacity,
                  "a number of rows, or 0 for no cache");
  }
  if (options.staleness < 0) {
    return refuse("staleness", options.staleness, "at least 0");
  }
  if (table.synchronous && options.staleness != 0) {
    return refuse("staleness", options.staleness,
                  "0, for the table is synchronous: its workers take every step "
                  "together");
  }
  if (options.max_pending_commits < 0) {
    return refuse("max_pending_commits", options.max_pending_commits,
                  "at least 1, or 0 for the default");
  }
  if (options.vocabulary_size < 0) {
    return refuse("vocabulary_size", options.vocabulary_size,
                  "at least 1, or 0 for any id");
  }
  return OkStatus();
}

class Cache final : public EmbeddingCache {
 public:
  explicit Cache(std::shared_ptr<CacheCore> core) : core_(std::move(core)) {}

  const TableSpec& table() const override { return core_->table(); }
  ComponentSpec optimizer() const override { return core_->optimizer(); }

  Status SetOptimizer(const ComponentSpec& spec) override {
    if (core_->optimizer() == spec) return OkStatus();
    auto optimizer = CreateOptimizer(spec);
    HET_RETURN_IF_ERROR(optimizer.status());
    TableSpec present = table();
    present.optimizer = core_->optimizer();
    TableSpec wanted = table();
    wanted.optimizer = spec;
    HET_RETURN_IF_ERROR(CheckSameSpec(present, wanted));
    HET_RETURN_IF_ERROR(core_->store().CreateTable(wanted));
    if (!IsNoOptimizer(spec)) core_->SetOptimizer(spec, **optimizer);
    return OkStatus();
  }

  const CacheOptions& options() const override { return core_->options(); }

  Status CheckIds(Span<const RowId> ids) const override {
    const std::int64_t size = options().vocabulary_size;
    if (size == 0) return OkStatus();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] < 0 || ids[i] >= size) {
        return InvalidArgument("table '", table().name, "': id ", ids[i],
                          " at position ", i, " is not in [0, ", size,
                          "), the vocabulary given as input_dim");
      }
    }
    return OkStatus();
  }

  using EmbeddingCache::Lookup;
  void Lookup(Span<const LookupPart> parts, ReadMode mode,
              Done done) override {
    Result<std::shared_ptr<Batch>> batch = BatchOf(parts, mode);
    if (!batch.ok()) {
      done(batch.status());
      return;
    }
    core_->Run(std::make_shared<het::Lookup>(std::move(batch).Take(), parts,
                                             mode, std::move(done)));
  }

  void LookupDistinct(Span<const LookupPart> parts, ReadMode mode,
                      const Place& place, Done done) override {
    Result<std::shared_ptr<Batch>> batch = BatchOf(parts, mode);
    if (!batch.ok()) {
      done(batch.status());
      return;
    }
    Result<float*> rows = place((*batch)->unique);
    if (!rows.ok()) {
      // The batch may be one that was asked for ahead: it ends as others do.
      core_->Run(std::make_shared<het::Lookup>(
          std::move(batch).Take(), Span<const LookupPart>(), mode,
          [error = rows.status(), done = std::move(done)](const Status&) {
            done(error);
          }));
      return;
    }
    core_->Run(std::make_shared<het::Lookup>(std::move(batch).Take(), parts,
                                             mode, std::move(done), *rows));
  }

  void Prefetch(Span<const Span<const RowId>> lookups, int ahead,
                Done done) override {
    Status status;
    if (options().staleness == 0) {
      status = InvalidArgument("table '", table().name,
                               "' has staleness 0, so no row may be read that "
                               "was asked for a step before: do not prefetch, "
                               "or give it a staleness of at least 1");
    } else if (ahead < 1) {
      status = InvalidArgument("table '", table().name, "': prefetching ",
                               ahead, " steps ahead, expected at least 1");
    }
    for (std::size_t l = 0; l < lookups.size() && status.ok(); ++l) {
      status = CheckIds(lookups[l]);
    }
    if (!status.ok()) {
      done(std::move(status));
      return;
    }
    std::vector<std::shared_ptr<Batch>> batches;
    for (const Span<const RowId> ids : lookups) {
      batches.push_back(core_->NewBatch());
      batches.back()->unique.Begin(ids.size());
      batches.back()->unique.Add(ids);
      batches.back()->unique.Number(core_->executor());
    }
    core_->Run(std::make_shared<het::Prefetch>(std::move(batches), ahead,
                                               std::move(done)));
  }

  void Update(Span<const RowId> ids, const float* gradients,
              float learning_rate, float scale, Done done) override {
    Status status = CheckIds(ids);
    if (status.ok() && IsNoOptimizer(core_->optimizer())) {
      status = FailedPrecondition("table '", table().name,
                                  "' has no optimizer yet, so it cannot be "
                                  "updated: set one first");
    }
    if (status.ok()) status = CheckGradients(ids, gradients);
    if (!status.ok()) {
      done(std::move(status));
      return;
    }
    std::shared_ptr<Batch> batch = core_->ClaimOpen(ids);
    if (batch == nullptr) {
      batch = core_->NewBatch();
      batch->unique.Begin(ids.size());
      batch->unique.Add(ids);
      batch->unique.Number(core_->executor());
    }
    batch->unique.Invert(core_->executor());
    core_->Run(std::make_shared<het::Update>(std::move(batch), gradients,
                                             learning_rate, scale,
                                             std::move(done)));
  }

  void Flush(Done done) override {
    core_->Run(std::make_shared<het::Flush>(std::move(done)));
  }

  Status Assign(Span<const RowId> ids, Span<const float> rows) override {
    HET_RETURN_IF_ERROR(CheckIds(ids));
    std::promise<Status> flushed;
    Flush([&](Status status) { flushed.set_value(std::move(status)); });
    HET_RETURN_IF_ERROR(flushed.get_future().get());
    HET_RETURN_IF_ERROR(core_->store().Assign(
        table().id(), options().staleness, ids, rows));
    core_->ForgetCopies(ids);
    return OkStatus();
  }

  Status Forget() override { return core_->ForgetAll(); }

  CacheStats stats() const override { return core_->stats(); }

 private:
  // Of all ids of the parts: what was asked for ahead, or a new one.
  Result<std::shared_ptr<Batch>> BatchOf(Span<const LookupPart> parts,
                                         ReadMode mode) const {
    std::size_t size = 0;
    for (const LookupPart& part : parts) {
      HET_RETURN_IF_ERROR(CheckIds(part.ids));
      size += part.ids.size();
    }
    std::shared_ptr<Batch> batch;
    if (mode == ReadMode::kTraining) batch = core_->ClaimStaged(parts);
    if (batch == nullptr) {
      batch = core_->NewBatch();
      batch->unique.Begin(size);
      for (const LookupPart& part : parts) batch->unique.Add(part.ids);
      batch->unique.Number(core_->executor());
    }
    return batch;
  }

  Status CheckGradients(Span<const RowId> ids, const float* gradients) const {
    if (!options().reject_non_finite) return OkStatus();
    const std::size_t dimension = core_->dimension();
    for (std::size_t i = 0; i < ids.size() * dimension; ++i) {
      if (!std::isfinite(gradients[i])) {
        return InvalidArgument("table '", table().name, "': the gradient of id ",
                               ids[i / dimension], " has the value ",
                               gradients[i], "; nothing was applied");
      }
    }
    return OkStatus();
  }

  const std::shared_ptr<CacheCore> core_;
};

}  // namespace

Result<std::shared_ptr<EmbeddingCache>> EmbeddingCache::Create(
    const TableSpec& table, const CacheOptions& options,
    std::shared_ptr<EmbeddingStore> store, Executor executor) {
  HET_RETURN_IF_ERROR(Validate(table));
  HET_RETURN_IF_ERROR(Check(table, options));
  auto policy = CreateEvictionPolicy(options.policy, options.capacity);
  HET_RETURN_IF_ERROR(policy.status());
  auto initializer = CreateInitializer(table.initializer, table.seed);
  HET_RETURN_IF_ERROR(initializer.status());
  auto optimizer = CreateOptimizer(table.optimizer);
  HET_RETURN_IF_ERROR(optimizer.status());
  HET_RETURN_IF_ERROR(store->CreateTable(table));
  return std::shared_ptr<EmbeddingCache>(new Cache(std::make_shared<CacheCore>(
      table, options, std::move(store), std::move(initializer).Take(),
      **optimizer, std::move(policy).Take(), std::move(executor))));
}

}  // namespace het
