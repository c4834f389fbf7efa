// HetEmbeddingPrefetch: asks ahead for what the lookups of a coming step will
// read. Called from the input pipeline; done when the questions are on their
// way. What it asks of several tables goes out as one exchange per shard.

#include <memory>
#include <vector>

#include "kernels/ops/many_tables.h"
#include "kernels/ops/resources.h"

namespace het {
namespace {

using tensorflow::AsyncOpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;

class EmbeddingPrefetchOp : public AsyncOpKernel {
 public:
  explicit EmbeddingPrefetchOp(OpKernelConstruction* context)
      : AsyncOpKernel(context) {
    int tables = 0, ids = 0;
    OP_REQUIRES_OK(context, context->GetAttr("ahead", &ahead_));
    OP_REQUIRES_OK(context, context->GetAttr("table_of", &table_of_));
    OP_REQUIRES_OK(context, context->GetAttr("num_tables", &tables));
    OP_REQUIRES_OK(context, context->GetAttr("num_ids", &ids));
    OP_REQUIRES_OK(context, CheckTableOf(table_of_, tables, ids));
  }

  void ComputeAsync(OpKernelContext* context, DoneCallback done) override {
    auto call = std::make_shared<Call>();
    OP_REQUIRES_OK_ASYNC(context, GetTables(context, {}, &call->tables), done);
    const int first = context->num_inputs() - static_cast<int>(table_of_.size());
    call->lookups.resize(call->tables.size());
    call->ids.reserve(table_of_.size());
    for (std::size_t f = 0; f < table_of_.size(); ++f) {
      call->ids.emplace_back(context->input(first + static_cast<int>(f)));
      call->lookups[static_cast<std::size_t>(table_of_[f])].push_back(
          call->ids.back().ids());
    }
    ForEachTable(context, call->tables, std::move(done),
                 [call, ahead = ahead_](std::size_t t, EmbeddingCache::Done end) {
                   call->tables[t].cache->Prefetch(call->lookups[t], ahead,
                                                   std::move(end));
                 });
  }

 private:
  struct Call {
    std::vector<OpenTable> tables;
    std::vector<IdsInput> ids;
    std::vector<std::vector<Span<const RowId>>> lookups;  // by table
  };

  int ahead_;
  std::vector<std::int64_t> table_of_;
};

REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingPrefetch").Device(tensorflow::DEVICE_CPU),
    EmbeddingPrefetchOp);
#ifdef HET_TF_CUDA
// The same kernel beside a GPU: a table's ops run where its resource is.
REGISTER_KERNEL_BUILDER(Name("HetEmbeddingPrefetch")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("tables")
                            .HostMemory("ids"),
                        EmbeddingPrefetchOp);
#endif

}  // namespace
}  // namespace het
