// GradientMerge: the gradients of a batch, which lie on a device, merged there
// into one row for each distinct id and copied into host memory, for the cache's
// Update.
//
// Merging twice, here and in the cache, adds nothing to the sums: the bits are
// those of an Update with all occurrences. Ownership: it owns its memory.
// Thread-safety: what Start returns is read after the device is done, by anyone.

#ifndef HET_TF_KERNELS_GPU_GRADIENT_MERGE_H_
#define HET_TF_KERNELS_GPU_GRADIENT_MERGE_H_

#include <memory>

#include "kernels/base/span.h"
#include "kernels/cache/embedding_cache.h"
#include "kernels/cache/unique_ids.h"
#include "kernels/gpu/row_device.h"

namespace het {

class GradientMerge {
 public:
  // Puts it on the device's stream; what `device->Then` then calls finds it
  // done. `gradients` [ids.size(), dimension of the cache's table] are device
  // memory and live until then. INVALID_ARGUMENT for an id that the cache
  // refuses; an error of the device as it is.
  static Result<std::shared_ptr<GradientMerge>> Start(
      const EmbeddingCache& cache, Span<const RowId> ids,
      const float* gradients, RowDevice* device);

  // Distinct, in order of first occurrence.
  Span<const RowId> ids() const { return unique_.ids(); }
  // [ids().size(), dimension], in host memory.
  const float* gradients() const;

 private:
  Status Allocate(RowDevice* device);
  Status Send(const float* gradients, RowDevice* device) const;
  std::size_t index_bytes() const;
  std::size_t gradient_bytes() const;

  std::size_t dimension_ = 0;
  UniqueIds unique_;
  // Alike on both sides: positions [occurrences], begins [distinct + 1], then
  // the merged gradients.
  RowDevice::Memory host_, on_device_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_GPU_GRADIENT_MERGE_H_
