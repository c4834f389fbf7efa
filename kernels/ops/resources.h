// StoreResource and TableResource: what TensorFlow's resource manager holds for
// het_tf, and the few lines that every kernel needs to get at them.
//
// Ownership: the resource manager counts references to the resources; a kernel
// that goes on after Compute keeps the cache or store itself alive, not the
// resource. Thread-safety: immutable after creation.

#ifndef HET_TF_KERNELS_OPS_RESOURCES_H_
#define HET_TF_KERNELS_OPS_RESOURCES_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/cache/embedding_cache.h"
#include "kernels/store/combining_store.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_handle.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace het {

// The same code, the same text.
inline absl::Status ToTensorFlow(const Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.code()),
                      status.message());
}

template <typename... Parts>
absl::Status InvalidInput(const Parts&... parts) {
  return ToTensorFlow(InvalidArgument(parts...));
}

class StoreResource : public tensorflow::ResourceBase {
 public:
  explicit StoreResource(std::shared_ptr<CombiningStore> store)
      : store_(std::move(store)) {}
  const std::shared_ptr<CombiningStore>& store() const { return store_; }
  std::string DebugString() const override { return "het_tf store"; }

 private:
  const std::shared_ptr<CombiningStore> store_;
};

class TableResource : public tensorflow::ResourceBase {
 public:
  TableResource(std::shared_ptr<EmbeddingCache> cache,
                std::shared_ptr<CombiningStore> store)
      : cache_(std::move(cache)), store_(std::move(store)) {}
  const std::shared_ptr<EmbeddingCache>& cache() const { return cache_; }
  // The store that the cache uses.
  const std::shared_ptr<CombiningStore>& store() const { return store_; }
  std::string DebugString() const override {
    return "het_tf table '" + cache_->table().name + "'";
  }

 private:
  const std::shared_ptr<EmbeddingCache> cache_;
  const std::shared_ptr<CombiningStore> store_;
};

// What is behind input `index`; the reference to the resource is given back at
// once.
inline absl::Status GetTable(tensorflow::OpKernelContext* context, int index,
                             std::shared_ptr<EmbeddingCache>* cache,
                             std::shared_ptr<CombiningStore>* store) {
  tensorflow::core::RefCountPtr<TableResource> table;
  TF_RETURN_IF_ERROR(tensorflow::LookupResource(
      context, tensorflow::HandleFromInput(context, index), &table));
  *cache = table->cache();
  *store = table->store();
  return absl::OkStatus();
}

inline absl::Status GetCache(tensorflow::OpKernelContext* context, int index,
                             std::shared_ptr<EmbeddingCache>* cache) {
  std::shared_ptr<CombiningStore> store;
  return GetTable(context, index, cache, &store);
}

inline absl::Status GetStore(tensorflow::OpKernelContext* context, int index,
                             std::shared_ptr<CombiningStore>* store) {
  tensorflow::core::RefCountPtr<StoreResource> resource;
  TF_RETURN_IF_ERROR(tensorflow::LookupResource(
      context, tensorflow::HandleFromInput(context, index), &resource));
  *store = resource->store();
  return absl::OkStatus();
}

// The ids of an int32 or int64 tensor, as they are or widened, for as long as
// an asynchronous kernel needs them.
class IdsInput {
 public:
  explicit IdsInput(const tensorflow::Tensor& tensor) : tensor_(tensor) {
    if (tensor.dtype() == tensorflow::DT_INT64) return;
    const auto narrow = tensor.flat<std::int32_t>();
    widened_.assign(narrow.data(), narrow.data() + narrow.size());
  }
  Span<const RowId> ids() const {
    if (tensor_.dtype() != tensorflow::DT_INT64) return widened_;
    const auto flat = tensor_.flat<std::int64_t>();
    return Span<const RowId>(reinterpret_cast<const RowId*>(flat.data()),
                             static_cast<std::size_t>(flat.size()));
  }

 private:
  const tensorflow::Tensor tensor_;  // shares the buffer
  std::vector<RowId> widened_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_OPS_RESOURCES_H_
