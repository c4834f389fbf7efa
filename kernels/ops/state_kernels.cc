// Kernels beside the training step: flush, assign, statistics.

#include <memory>
#include <vector>

#include "kernels/ops/resources.h"

namespace het {
namespace {

using tensorflow::AsyncOpKernel;
using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::TensorShapeUtils;

class EmbeddingFlushOp : public AsyncOpKernel {
 public:
  using AsyncOpKernel::AsyncOpKernel;

  void ComputeAsync(OpKernelContext* context, DoneCallback done) override {
    std::shared_ptr<EmbeddingCache> cache;
    OP_REQUIRES_OK_ASYNC(context, GetCache(context, 0, &cache), done);
    EmbeddingCache* const target = cache.get();
    target->Flush([context, done = std::move(done), cache](Status status) {
      context->SetStatus(ToTensorFlow(status));
      done();
    });
  }
};

class EmbeddingAssignOp : public AsyncOpKernel {
 public:
  using AsyncOpKernel::AsyncOpKernel;

  void ComputeAsync(OpKernelContext* context, DoneCallback done) override {
    std::shared_ptr<EmbeddingCache> cache;
    OP_REQUIRES_OK_ASYNC(context, GetCache(context, 0, &cache), done);
    const Tensor& ids = context->input(1);
    const Tensor& rows = context->input(2);
    const auto dimension =
        static_cast<std::int64_t>(cache->table().dimension);
    OP_REQUIRES_ASYNC(
        context,
        TensorShapeUtils::IsVector(ids.shape()) &&
            TensorShapeUtils::IsMatrix(rows.shape()) &&
            rows.dim_size(0) == ids.dim_size(0) &&
            rows.dim_size(1) == dimension,
        InvalidInput(
            "table '", cache->table().name, "': assign takes ids [n] and rows "
            "[n, ", dimension, "], got ids ", ids.shape().DebugString(),
            " and rows ", rows.shape().DebugString()),
        done);
    // It blocks on the shards: on a thread of its own, not on TensorFlow's.
    auto input = std::make_shared<IdsInput>(ids);
    context->env()->SchedClosure([context, done = std::move(done), input,
                                  cache, rows] {
      const auto flat = rows.flat<float>();
      context->SetStatus(ToTensorFlow(cache->Assign(
          input->ids(), Span<const float>(
                            flat.data(), static_cast<std::size_t>(flat.size())))));
      done();
    });
  }
};

void SetOutput(OpKernelContext* context,
               const std::vector<std::int64_t>& numbers) {
  Tensor* output = nullptr;
  OP_REQUIRES_OK(context,
                 context->allocate_output(
                     0,
                     TensorShape({static_cast<std::int64_t>(
                         numbers.size())}),
                     &output));
  std::copy(numbers.begin(), numbers.end(),
            output->flat<std::int64_t>().data());
}

class EmbeddingStatsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    std::shared_ptr<EmbeddingCache> cache;
    OP_REQUIRES_OK(context, GetCache(context, 0, &cache));
    const CacheStats stats = cache->stats();
    std::vector<std::int64_t> numbers = {
        stats.lookups,      stats.ids,          stats.unique_ids,
        stats.hits,         stats.misses,       stats.invalid,
        stats.updates,      stats.updated_rows, stats.pushed_rows,
        stats.evictions,    stats.rows,         stats.pending_rows,
        stats.memory_bytes, stats.prefetched};
    numbers.insert(numbers.end(), stats.staleness.begin(),
                   stats.staleness.end());
    SetOutput(context, numbers);
  }
};

class StoreTrafficOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    std::shared_ptr<CombiningStore> store;
    OP_REQUIRES_OK(context, GetStore(context, 0, &store));
    const Traffic traffic = store->traffic();
    std::vector<std::int64_t> numbers = {traffic.exchanges};
    for (const TrafficBytes* bytes : {&traffic.sent, &traffic.received}) {
      numbers.insert(numbers.end(), {bytes->ids, bytes->clocks, bytes->rows,
                                     bytes->gradients, bytes->framing});
    }
    SetOutput(context, numbers);
  }
};

REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingFlush").Device(tensorflow::DEVICE_CPU), EmbeddingFlushOp);
REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingAssign").Device(tensorflow::DEVICE_CPU),
    EmbeddingAssignOp);
REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingStats").Device(tensorflow::DEVICE_CPU), EmbeddingStatsOp);
REGISTER_KERNEL_BUILDER(Name("HetStoreTraffic").Device(tensorflow::DEVICE_CPU),
                        StoreTrafficOp);

#ifdef HET_TF_CUDA
// The same kernels beside a GPU: a table's ops run where its resource is.
REGISTER_KERNEL_BUILDER(Name("HetEmbeddingFlush")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("table"),
                        EmbeddingFlushOp);
REGISTER_KERNEL_BUILDER(Name("HetEmbeddingAssign")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("table")
                            .HostMemory("ids")
                            .HostMemory("rows"),
                        EmbeddingAssignOp);
REGISTER_KERNEL_BUILDER(Name("HetEmbeddingStats")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("table")
                            .HostMemory("stats"),
                        EmbeddingStatsOp);
REGISTER_KERNEL_BUILDER(Name("HetStoreTraffic")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("store")
                            .HostMemory("traffic"),
                        StoreTrafficOp);
#endif

}  // namespace
}  // namespace het
