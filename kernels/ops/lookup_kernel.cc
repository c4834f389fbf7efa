#include "kernels/ops/lookup_op.h"

#include <memory>
#include <string>
#include <vector>

#include "kernels/ops/many_tables.h"
#include "kernels/ops/resources.h"

namespace het {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

struct EmbeddingLookupOp::Call {
  std::vector<OpenTable> tables;
  std::vector<IdsInput> ids;
  std::vector<std::vector<LookupPart>> parts;  // by table
};

EmbeddingLookupOp::EmbeddingLookupOp(OpKernelConstruction* context)
    : AsyncOpKernel(context) {
  std::string mode;
  OP_REQUIRES_OK(context, context->GetAttr("mode", &mode));
  OP_REQUIRES_OK(context, context->GetAttr("dimensions", &dimensions_));
  OP_REQUIRES_OK(context, context->GetAttr("table_of", &table_of_));
  // Eager calls do not pass the shape function.
  int tables = 0, ids = 0;
  OP_REQUIRES_OK(context, context->GetAttr("num_tables", &tables));
  OP_REQUIRES_OK(context, context->GetAttr("num_ids", &ids));
  OP_REQUIRES(context,
              dimensions_.size() == static_cast<std::size_t>(tables),
              InvalidInput("a lookup in ", tables, " tables has ",
                           dimensions_.size(), " dimensions"));
  OP_REQUIRES_OK(context, CheckTableOf(table_of_, tables, ids));
  mode_ = mode == "training"    ? ReadMode::kTraining
          : mode == "inference" ? ReadMode::kInference
                                : ReadMode::kFresh;
}

void EmbeddingLookupOp::ComputeAsync(OpKernelContext* context,
                                     DoneCallback done) {
  auto call = std::make_shared<Call>();
  OP_REQUIRES_OK_ASYNC(context, GetTables(context, dimensions_, &call->tables),
                       done);
  const int first = context->num_inputs() - static_cast<int>(table_of_.size());
  call->parts.resize(call->tables.size());
  call->ids.reserve(table_of_.size());
  for (std::size_t f = 0; f < table_of_.size(); ++f) {
    const auto table = static_cast<std::size_t>(table_of_[f]);
    const Tensor& ids = context->input(first + static_cast<int>(f));
    TensorShape shape = ids.shape();
    OP_REQUIRES_OK_ASYNC(
        context, shape.AddDimWithStatus(dimensions_[table]), done);
    Tensor* rows = nullptr;
    OP_REQUIRES_OK_ASYNC(
        context,
        context->allocate_output(static_cast<int>(f), shape, &rows), done);
    call->ids.emplace_back(ids);
    call->parts[table].push_back(
        {call->ids.back().ids(), rows->flat<float>().data()});
  }
  ForEachTable(context, call->tables, std::move(done),
               [call, read = Reader(context), mode = mode_](
                   std::size_t t, EmbeddingCache::Done end) {
                 read(*call->tables[t].cache, call->parts[t], mode,
                      std::move(end));
               });
}

EmbeddingLookupOp::Read EmbeddingLookupOp::Reader(OpKernelContext*) const {
  return [](EmbeddingCache& cache, Span<const LookupPart> parts, ReadMode mode,
            EmbeddingCache::Done done) {
    cache.Lookup(parts, mode, std::move(done));
  };
}

namespace {
REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingLookup").Device(tensorflow::DEVICE_CPU),
    EmbeddingLookupOp);
}  // namespace
}  // namespace het
