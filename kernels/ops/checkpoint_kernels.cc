// Kernels of checkpoints: snapshot, restore, forget.

#include <memory>
#include <string>
#include <utility>

#include "kernels/ops/resources.h"

namespace het {
namespace {

using tensorflow::AsyncOpKernel;
using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::TensorShapeUtils;
using tensorflow::tstring;

template <typename Value>
absl::Status GetScalar(OpKernelContext* context, const char* name,
                       Value* value) {
  const Tensor* tensor = nullptr;
  TF_RETURN_IF_ERROR(context->input(name, &tensor));
  if (!TensorShapeUtils::IsScalar(tensor->shape())) {
    return InvalidInput(name, " has the shape ", tensor->shape().DebugString(),
                        ", expected a scalar");
  }
  if constexpr (std::is_same_v<Value, std::string>) {
    *value = tensor->scalar<tstring>()();
  } else {
    *value = static_cast<Value>(tensor->scalar<std::int64_t>()());
  }
  return absl::OkStatus();
}

// Has a request of the shards made on a thread of its own: it blocks.
template <typename Request>
class CheckpointOp : public AsyncOpKernel {
 public:
  using AsyncOpKernel::AsyncOpKernel;

  void ComputeAsync(OpKernelContext* context, DoneCallback done) override {
    std::shared_ptr<CombiningStore> store;
    Request request;
    OP_REQUIRES_OK_ASYNC(context, GetStore(context, 0, &store), done);
    OP_REQUIRES_OK_ASYNC(
        context, GetScalar(context, "directory", &request.place.directory),
        done);
    OP_REQUIRES_OK_ASYNC(context,
                         GetScalar(context, "mark", &request.place.mark), done);
    OP_REQUIRES_OK_ASYNC(context, GetScalar(context, "call", &request.call),
                         done);
    OP_REQUIRES_OK_ASYNC(context, GetRest(context, &request), done);
    context->env()->SchedClosure([this, context, done = std::move(done), store,
                                  request = std::move(request)]() mutable {
      const auto progress = Ask(*store, request);
      if (progress.ok()) {
        SetOutput(context, *progress);
      } else {
        context->SetStatus(ToTensorFlow(progress.status()));
      }
      done();
    });
  }

 protected:
  virtual absl::Status GetRest(OpKernelContext* context, Request* request) = 0;
  virtual Result<CheckpointProgress> Ask(EmbeddingStore& store,
                                         Request& request) = 0;

 private:
  static void SetOutput(OpKernelContext* context,
                        const CheckpointProgress& progress) {
    Tensor* output = nullptr;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, TensorShape({3}), &output));
    auto numbers = output->flat<std::int64_t>();
    numbers(0) = progress.done ? 1 : 0;
    numbers(1) = progress.rows;
    numbers(2) = progress.bytes;
  }
};

class StoreSnapshotOp : public CheckpointOp<SnapshotRequest> {
 public:
  explicit StoreSnapshotOp(tensorflow::OpKernelConstruction* context)
      : CheckpointOp(context) {
    OP_REQUIRES_OK(context, context->GetAttr("begin", &begin_));
  }

 protected:
  absl::Status GetRest(OpKernelContext* context,
                       SnapshotRequest* request) override {
    request->begin = begin_;
    TF_RETURN_IF_ERROR(GetScalar(context, "checkpoint", &request->name));
    return GetScalar(context, "base", &request->base);
  }
  Result<CheckpointProgress> Ask(EmbeddingStore& store,
                                 SnapshotRequest& request) override {
    return store.Snapshot(request);
  }

 private:
  bool begin_ = false;
};

class StoreRestoreOp : public CheckpointOp<RestoreRequest> {
 public:
  using CheckpointOp::CheckpointOp;

 protected:
  absl::Status GetRest(OpKernelContext* context,
                       RestoreRequest* request) override {
    const Tensor *names = nullptr, *shards = nullptr;
    TF_RETURN_IF_ERROR(context->input("names", &names));
    TF_RETURN_IF_ERROR(context->input("shards", &shards));
    if (!TensorShapeUtils::IsVector(names->shape()) ||
        names->shape() != shards->shape()) {
      return InvalidInput("names has the shape ", names->shape().DebugString(),
                          ", shards ", shards->shape().DebugString(),
                          ": expected vectors of one length");
    }
    for (std::int64_t i = 0; i < names->dim_size(0); ++i) {
      request->chain.push_back(
          {names->vec<tstring>()(i),
           static_cast<std::size_t>(shards->vec<std::int64_t>()(i))});
    }
    return absl::OkStatus();
  }
  // Every shard has read all before the first one takes it over.
  Result<CheckpointProgress> Ask(EmbeddingStore& store,
                                 RestoreRequest& request) override {
    const auto read = store.Restore(request);
    if (!read.ok() || !read->done) return read;
    request.commit = true;
    return store.Restore(request);
  }
};

class EmbeddingForgetOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    std::shared_ptr<EmbeddingCache> cache;
    OP_REQUIRES_OK(context, GetCache(context, 0, &cache));
    OP_REQUIRES_OK(context, ToTensorFlow(cache->Forget()));
  }
};

REGISTER_KERNEL_BUILDER(Name("HetStoreSnapshot").Device(tensorflow::DEVICE_CPU),
                        StoreSnapshotOp);
REGISTER_KERNEL_BUILDER(Name("HetStoreRestore").Device(tensorflow::DEVICE_CPU),
                        StoreRestoreOp);
REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingForget").Device(tensorflow::DEVICE_CPU),
    EmbeddingForgetOp);

#ifdef HET_TF_CUDA
// The same kernels beside a GPU: a table's ops run where its resource is.
REGISTER_KERNEL_BUILDER(Name("HetStoreSnapshot")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("store")
                            .HostMemory("directory")
                            .HostMemory("mark")
                            .HostMemory("checkpoint")
                            .HostMemory("base")
                            .HostMemory("call")
                            .HostMemory("progress"),
                        StoreSnapshotOp);
REGISTER_KERNEL_BUILDER(Name("HetStoreRestore")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("store")
                            .HostMemory("directory")
                            .HostMemory("mark")
                            .HostMemory("names")
                            .HostMemory("shards")
                            .HostMemory("call")
                            .HostMemory("progress"),
                        StoreRestoreOp);
REGISTER_KERNEL_BUILDER(Name("HetEmbeddingForget")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("table"),
                        EmbeddingForgetOp);
#endif

}  // namespace
}  // namespace het
