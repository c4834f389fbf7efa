#include "kernels/gpu/gradient_merge.h"

#include <cstring>
#include <utility>
#include <vector>

namespace het {

Result<std::shared_ptr<GradientMerge>> GradientMerge::Start(
    const EmbeddingCache& cache, Span<const RowId> ids, const float* gradients,
    RowDevice* device) {
  // Here, for the cache will see other positions.
  HET_RETURN_IF_ERROR(cache.CheckIds(ids));
  auto merge = std::make_shared<GradientMerge>();
  merge->dimension_ = cache.table().dimension;
  merge->unique_.Begin(ids.size());
  merge->unique_.Add(ids);
  merge->unique_.Number();
  merge->unique_.Invert();
  HET_RETURN_IF_ERROR(merge->Allocate(device));
  Status sent = merge->Send(gradients, device);
  // Also after an error: some of it may be on the stream.
  Status kept = device->KeepUntilDone(merge);
  HET_RETURN_IF_ERROR(sent);
  HET_RETURN_IF_ERROR(kept);
  return merge;
}

const float* GradientMerge::gradients() const {
  return reinterpret_cast<const float*>(host_.get() + index_bytes());
}

std::size_t GradientMerge::index_bytes() const {
  return (unique_.positions().size() + unique_.ids().size() + 1) *
         sizeof(std::uint32_t);
}

std::size_t GradientMerge::gradient_bytes() const {
  return unique_.ids().size() * dimension_ * sizeof(float);
}

Status GradientMerge::Allocate(RowDevice* device) {
  const std::size_t bytes = index_bytes() + gradient_bytes();
  auto host = device->AllocateHost(bytes);
  HET_RETURN_IF_ERROR(host.status());
  auto on_device = device->AllocateDevice(bytes);
  HET_RETURN_IF_ERROR(on_device.status());
  host_ = std::move(host).Take();
  on_device_ = std::move(on_device).Take();
  return OkStatus();
}

Status GradientMerge::Send(const float* gradients, RowDevice* device) const {
  if (unique_.ids().empty()) return OkStatus();
  const std::vector<std::uint32_t>& positions = unique_.positions();
  std::memcpy(host_.get(), positions.data(),
              positions.size() * sizeof(std::uint32_t));
  auto* begins =
      reinterpret_cast<std::uint32_t*>(host_.get()) + positions.size();
  for (std::size_t u = 0; u <= unique_.ids().size(); ++u) {
    begins[u] = unique_.begin(u);
  }
  HET_RETURN_IF_ERROR(
      device->CopyToDevice(host_.get(), on_device_.get(), index_bytes()));
  MergeGradients merge;
  merge.gradients = gradients;
  merge.positions = reinterpret_cast<const std::uint32_t*>(on_device_.get());
  merge.begins = merge.positions + positions.size();
  merge.dimension = dimension_;
  merge.count = unique_.ids().size();
  merge.output = reinterpret_cast<float*>(on_device_.get() + index_bytes());
  HET_RETURN_IF_ERROR(device->Run(merge));
  return device->CopyToHost(on_device_.get() + index_bytes(),
                            host_.get() + index_bytes(), gradient_bytes());
}

}  // namespace het
