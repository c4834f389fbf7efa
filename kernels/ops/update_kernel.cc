// HetEmbeddingUpdate: one optimizer step on looked-up rows. Asynchronous: at
// staleness 0 it is done when the shards have acknowledged the push.

#include <cmath>
#include <memory>

#include "kernels/ops/resources.h"

namespace het {
namespace {

using tensorflow::AsyncOpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShapeUtils;

class EmbeddingUpdateOp : public AsyncOpKernel {
 public:
  using AsyncOpKernel::AsyncOpKernel;

  void ComputeAsync(OpKernelContext* context, DoneCallback done) override {
    std::shared_ptr<EmbeddingCache> cache;
    OP_REQUIRES_OK_ASYNC(context, GetCache(context, 0, &cache), done);
    const Tensor& ids = context->input(1);
    const Tensor& gradients = context->input(2);
    const Tensor& learning_rate = context->input(3);
    const Tensor& scale = context->input(4);
    const auto dimension =
        static_cast<std::int64_t>(cache->table().dimension);
    OP_REQUIRES_ASYNC(
        context,
        TensorShapeUtils::IsVector(ids.shape()) &&
            TensorShapeUtils::IsMatrix(gradients.shape()) &&
            gradients.dim_size(0) == ids.dim_size(0) &&
            gradients.dim_size(1) == dimension,
        InvalidInput(
            "table '", cache->table().name, "': an update takes ids [n] and "
            "gradients [n, ", dimension, "], got ids ",
            ids.shape().DebugString(), " and gradients ",
            gradients.shape().DebugString()),
        done);
    OP_REQUIRES_ASYNC(
        context,
        TensorShapeUtils::IsScalar(learning_rate.shape()) &&
            TensorShapeUtils::IsScalar(scale.shape()) &&
            std::isfinite(learning_rate.scalar<float>()()) &&
            std::isfinite(scale.scalar<float>()()),
        InvalidInput(
            "table '", cache->table().name,
            "': learning rate and scale are finite scalars, got ",
            learning_rate.DebugString(), " and ", scale.DebugString()),
        done);
    auto input = std::make_shared<IdsInput>(ids);
    EmbeddingCache* const target = cache.get();
    target->Update(input->ids(), gradients.flat<float>().data(),
                   learning_rate.scalar<float>()(), scale.scalar<float>()(),
                   [context, done = std::move(done), input, cache](
                       Status status) {
                     context->SetStatus(ToTensorFlow(status));
                     done();
                   });
  }
};

REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingUpdate").Device(tensorflow::DEVICE_CPU),
    EmbeddingUpdateOp);

}  // namespace
}  // namespace het
