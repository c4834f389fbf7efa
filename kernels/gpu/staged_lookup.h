// StagedLookup: rows of a cache in host memory for a batch whose place is on a
// device.
//
//   the cache's LookupDistinct into staging memory on the host -> one copy of
//   rows and inverse index to the device -> GatherRows into every part
//
// Function without state; any thread may call it.

#ifndef HET_TF_KERNELS_GPU_STAGED_LOOKUP_H_
#define HET_TF_KERNELS_GPU_STAGED_LOOKUP_H_

#include <memory>

#include "kernels/base/span.h"
#include "kernels/cache/embedding_cache.h"
#include "kernels/gpu/row_device.h"

namespace het {

// EmbeddingCache::Lookup with `rows` of the parts in device memory. When `done`
// is called with OK, the rows are there for whatever is put on the device's
// stream from then on. The ids must live until `done` is called, the rows until
// the stream has come so far. An error of the device reaches `done`.
void StagedLookup(EmbeddingCache& cache, Span<const LookupPart> parts,
                  ReadMode mode, std::shared_ptr<RowDevice> device,
                  EmbeddingCache::Done done);

}  // namespace het

#endif  // HET_TF_KERNELS_GPU_STAGED_LOOKUP_H_
