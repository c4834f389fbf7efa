#include "kernels/ops/update_op.h"

#include <cmath>
#include <memory>
#include <vector>

namespace het {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShapeUtils;

namespace {

absl::Status Check(const EmbeddingCache& cache, const Tensor& ids,
                   const Tensor& gradients, const Tensor& learning_rate) {
  const auto dimension = static_cast<std::int64_t>(cache.table().dimension);
  if (!TensorShapeUtils::IsVector(ids.shape()) ||
      !TensorShapeUtils::IsMatrix(gradients.shape()) ||
      gradients.dim_size(0) != ids.dim_size(0) ||
      gradients.dim_size(1) != dimension) {
    return InvalidInput("table '", cache.table().name,
                        "': an update takes ids [n] and gradients [n, ",
                        dimension, "], got ids ", ids.shape().DebugString(),
                        " and gradients ", gradients.shape().DebugString());
  }
  if (!TensorShapeUtils::IsScalar(learning_rate.shape()) ||
      !std::isfinite(learning_rate.scalar<float>()())) {
    return InvalidInput("table '", cache.table().name,
                        "': the learning rate is a finite scalar, got ",
                        learning_rate.DebugString());
  }
  return absl::OkStatus();
}

}  // namespace

void EmbeddingUpdateOp::ComputeAsync(OpKernelContext* context,
                                     DoneCallback done) {
  auto call = std::make_shared<Call>();
  OP_REQUIRES_OK_ASYNC(context, GetTables(context, {}, &call->tables), done);
  const int count = static_cast<int>(call->tables.size());
  const Tensor& scale = context->input(4 * count);
  OP_REQUIRES_ASYNC(
      context,
      TensorShapeUtils::IsScalar(scale.shape()) &&
          std::isfinite(scale.scalar<float>()()),
      InvalidInput("scale is a finite scalar, got ", scale.DebugString()),
      done);
  call->scale = scale.scalar<float>()();
  call->inputs.reserve(call->tables.size());
  for (int t = 0; t < count; ++t) {
    const Tensor& ids = context->input(count + t);
    const Tensor& gradients = context->input(2 * count + t);
    const Tensor& learning_rate = context->input(3 * count + t);
    OP_REQUIRES_OK_ASYNC(context,
                         Check(*call->tables[static_cast<std::size_t>(t)].cache,
                               ids, gradients, learning_rate),
                         done);
    call->inputs.push_back({IdsInput(ids), gradients.flat<float>().data(),
                            learning_rate.scalar<float>()()});
  }
  Run(context, std::move(call), std::move(done));
}

void EmbeddingUpdateOp::Run(OpKernelContext* context,
                            std::shared_ptr<Call> call,
                            DoneCallback done) const {
  ForEachTable(context, call->tables, std::move(done),
               [call](std::size_t t, EmbeddingCache::Done end) {
                 const Input& input = call->inputs[t];
                 call->tables[t].cache->Update(
                     input.ids.ids(), input.gradients, input.learning_rate,
                     call->scale, std::move(end));
               });
}

namespace {
REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingUpdate").Device(tensorflow::DEVICE_CPU),
    EmbeddingUpdateOp);
}  // namespace
}  // namespace het
