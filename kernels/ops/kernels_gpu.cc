// The ops on a GPU. The tables' resources are the same, in host memory; ids,
// handles and learning rates stay there too. Rows, gradients and clocks are the
// device's.

#include <memory>
#include <utility>
#include <vector>

#include "kernels/gpu/gradient_merge.h"
#include "kernels/gpu/staged_lookup.h"
#include "kernels/ops/check_clocks_op.h"
#include "kernels/ops/lookup_op.h"
#include "kernels/ops/stream_row_device.h"
#include "kernels/ops/update_op.h"

namespace het {
namespace {

using tensorflow::DEVICE_GPU;
using tensorflow::OpKernelContext;

class GpuLookupOp final : public EmbeddingLookupOp {
 public:
  using EmbeddingLookupOp::EmbeddingLookupOp;

 protected:
  Read Reader(OpKernelContext* context) const override {
    auto device = StreamRowDevice::Of(context);
    return [device](EmbeddingCache& cache, Span<const LookupPart> parts,
                    ReadMode mode, EmbeddingCache::Done done) mutable {
      if (!device.ok()) {
        done(device.status());
        return;
      }
      StagedLookup(cache, parts, mode, *device, std::move(done));
    };
  }
};

class GpuUpdateOp final : public EmbeddingUpdateOp {
 public:
  using EmbeddingUpdateOp::EmbeddingUpdateOp;

 protected:
  void Run(OpKernelContext* context, std::shared_ptr<Call> call,
           DoneCallback done) const override {
    auto device = StreamRowDevice::Of(context);
    OP_REQUIRES_OK_ASYNC(context, ToTensorFlow(device.status()), done);
    using Merges = std::vector<std::shared_ptr<GradientMerge>>;
    auto merges = std::make_shared<Merges>();
    for (std::size_t t = 0; t < call->tables.size(); ++t) {
      const Input& input = call->inputs[t];
      auto merge = GradientMerge::Start(*call->tables[t].cache, input.ids.ids(),
                                        input.gradients, device->get());
      OP_REQUIRES_OK_ASYNC(context, ToTensorFlow(merge.status()), done);
      merges->push_back(*merge);
    }
    // The cache's part takes a while: on a thread of its own, not on the one that
    // looks after the device.
    const auto update = [context, call, merges, done] {
      ForEachTable(context, call->tables, done,
                   [&](std::size_t t, EmbeddingCache::Done end) {
                     const GradientMerge& merge = *(*merges)[t];
                     call->tables[t].cache->Update(
                         merge.ids(), merge.gradients(),
                         call->inputs[t].learning_rate, call->scale,
                         // They live until the table is done with them.
                         [call, merges, end = std::move(end)](Status status) {
                           end(std::move(status));
                         });
                   });
    };
    const Status waits = (*device)->Then(
        [context, update] { context->env()->SchedClosure(update); });
    OP_REQUIRES_OK_ASYNC(context, ToTensorFlow(waits), done);
  }
};

class GpuCheckClocksOp final : public CheckClocksOp {
 public:
  using CheckClocksOp::CheckClocksOp;

 protected:
  absl::Status Run(OpKernelContext* context,
                   const CheckClocks& kernel) const override {
    auto device = StreamRowDevice::Of(context);
    if (!device.ok()) return ToTensorFlow(device.status());
    return ToTensorFlow((*device)->Run(kernel));
  }
};

REGISTER_KERNEL_BUILDER(Name("HetEmbeddingLookup")
                            .Device(DEVICE_GPU)
                            .HostMemory("tables")
                            .HostMemory("ids"),
                        GpuLookupOp);
REGISTER_KERNEL_BUILDER(Name("HetEmbeddingUpdate")
                            .Device(DEVICE_GPU)
                            .HostMemory("tables")
                            .HostMemory("ids")
                            .HostMemory("learning_rates")
                            .HostMemory("scale"),
                        GpuUpdateOp);
REGISTER_KERNEL_BUILDER(Name("HetCheckClocks").Device(DEVICE_GPU),
                        GpuCheckClocksOp);

}  // namespace
}  // namespace het
