// HetEmbeddingLookup: asynchronous, so that no TensorFlow thread waits for the
// network and the lookups of a step run side by side.

#include <memory>
#include <string>

#include "kernels/ops/resources.h"

namespace het {
namespace {

using tensorflow::AsyncOpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

class EmbeddingLookupOp : public AsyncOpKernel {
 public:
  explicit EmbeddingLookupOp(OpKernelConstruction* context)
      : AsyncOpKernel(context) {
    std::string mode;
    OP_REQUIRES_OK(context, context->GetAttr("mode", &mode));
    OP_REQUIRES_OK(context, context->GetAttr("dimension", &dimension_));
    mode_ = mode == "training"    ? ReadMode::kTraining
            : mode == "inference" ? ReadMode::kInference
                                  : ReadMode::kFresh;
  }

  void ComputeAsync(OpKernelContext* context, DoneCallback done) override {
    std::shared_ptr<EmbeddingCache> cache;
    OP_REQUIRES_OK_ASYNC(context, GetCache(context, 0, &cache), done);
    OP_REQUIRES_ASYNC(
        context,
        cache->table().dimension == static_cast<std::size_t>(dimension_),
        InvalidInput(
            "table '", cache->table().name, "' has dimension ",
            cache->table().dimension, ", the lookup asks for ", dimension_),
        done);
    auto input = std::make_shared<IdsInput>(context->input(1));
    TensorShape shape = context->input(1).shape();
    OP_REQUIRES_OK_ASYNC(context, shape.AddDimWithStatus(dimension_), done);
    Tensor* rows = nullptr;
    OP_REQUIRES_OK_ASYNC(context, context->allocate_output(0, shape, &rows),
                         done);
    EmbeddingCache* const target = cache.get();
    target->Lookup(input->ids(), mode_, rows->flat<float>().data(),
                   [context, done = std::move(done), input, cache](
                       Status status) {
                     context->SetStatus(ToTensorFlow(status));
                     done();
                   });
  }

 private:
  ReadMode mode_;
  std::int64_t dimension_;
};

REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingLookup").Device(tensorflow::DEVICE_CPU),
    EmbeddingLookupOp);

}  // namespace
}  // namespace het
