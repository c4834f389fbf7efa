#include "kernels/ops/many_tables.h"

#include <atomic>
#include <optional>
#include <unordered_set>
#include <utility>

#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/lib/core/threadpool.h"

namespace het {

absl::Status GetTables(tensorflow::OpKernelContext* context,
                       const std::vector<std::int64_t>& dimensions,
                       std::vector<OpenTable>* tables) {
  tensorflow::OpInputList handles;
  TF_RETURN_IF_ERROR(context->input_list("tables", &handles));
  std::unordered_set<const EmbeddingCache*> seen;
  tables->reserve(static_cast<std::size_t>(handles.size()));
  for (int t = 0; t < handles.size(); ++t) {
    OpenTable table;
    TF_RETURN_IF_ERROR(GetTable(context, t, &table.cache, &table.store));
    const TableSpec& spec = table.cache->table();
    if (!seen.insert(table.cache.get()).second) {
      return InvalidInput("table '", spec.name,
                          "' is given twice: concatenate its ids");
    }
    if (!dimensions.empty() &&
        spec.dimension != static_cast<std::size_t>(
                              dimensions[static_cast<std::size_t>(t)])) {
      return InvalidInput("table '", spec.name, "' has dimension ",
                          spec.dimension, ", the lookup asks for ",
                          dimensions[static_cast<std::size_t>(t)]);
    }
    if (t > 0 && table.store != tables->front().store) {
      return InvalidInput("table '", spec.name,
                          "' is in another store than table '",
                          tables->front().cache->table().name,
                          "': an op works on the tables of one store");
    }
    tables->push_back(std::move(table));
  }
  return absl::OkStatus();
}

absl::Status CheckTableOf(const std::vector<std::int64_t>& table_of, int tables,
                          int ids) {
  if (table_of.size() != static_cast<std::size_t>(ids)) {
    return InvalidInput("table_of has ", table_of.size(), " numbers for ", ids,
                        " tensors of ids in ", tables, " tables");
  }
  for (const std::int64_t table : table_of) {
    if (table < 0 || table >= tables) {
      return InvalidInput("table_of has ", table, ", expected 0 to ",
                          tables - 1);
    }
  }
  return absl::OkStatus();
}

void ForEachTable(
    tensorflow::OpKernelContext* context, const std::vector<OpenTable>& tables,
    tensorflow::AsyncOpKernel::DoneCallback done,
    const std::function<void(std::size_t, EmbeddingCache::Done)>& call) {
  struct Calls {
    std::vector<Status> results;
    std::atomic<std::size_t> open;
    tensorflow::OpKernelContext* context;
    tensorflow::AsyncOpKernel::DoneCallback done;

    void End() {
      if (open.fetch_sub(1) > 1) return;
      for (const Status& result : results) {
        if (result.ok()) continue;
        context->SetStatus(ToTensorFlow(result));
        break;
      }
      done();
    }
  };
  auto calls = std::make_shared<Calls>();
  calls->results.resize(tables.size());
  // One is kept for this function: it goes on using the context.
  calls->open = tables.size() + 1;
  calls->context = context;
  calls->done = std::move(done);
  {
    std::optional<CombiningStore::Hold> hold;
    if (tables.size() > 1) hold.emplace(tables.front().store.get());
    ParallelFor(ExecutorOf(context), tables.size(), 1,
                [&](std::size_t begin, std::size_t end) {
                  for (std::size_t t = begin; t < end; ++t) {
                    call(t, [calls, t](Status status) {
                      calls->results[t] = std::move(status);
                      calls->End();
                    });
                  }
                });
  }
  calls->End();
}

Executor ExecutorOf(tensorflow::OpKernelContext* context) {
  const auto* threads = context->device()->tensorflow_cpu_worker_threads();
  if (threads == nullptr || threads->workers == nullptr) return {};
  return {static_cast<std::size_t>(threads->num_threads),
          [workers = threads->workers](std::function<void()> work) {
            workers->Schedule(std::move(work));
          }};
}

}  // namespace het
