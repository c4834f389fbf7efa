// Kernels that make resources: the store and the tables.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/ops/many_tables.h"
#include "kernels/ops/resources.h"
#include "kernels/rpc/connect.h"

namespace het {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::ResourceMgr;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// Finds or makes the resource and puts a handle to it into output 0. It is made
// outside of the resource manager's lock, for that asks the shards; of two made
// at once the first stays.
template <typename Resource, typename Create>
absl::Status MakeResource(OpKernelContext* context, const std::string& container,
                          const std::string& name, Create create,
                          tensorflow::core::RefCountPtr<Resource>* resource) {
  const std::string place =
      container.empty() ? context->resource_manager()->default_container()
                        : container;
  Resource* found = nullptr;
  if (!context->resource_manager()->Lookup<Resource>(place, name, &found).ok()) {
    Resource* made = nullptr;
    TF_RETURN_IF_ERROR(create(&made));
    tensorflow::core::RefCountPtr<Resource> owned(made);
    TF_RETURN_IF_ERROR(context->resource_manager()->LookupOrCreate<Resource>(
        place, name, &found, [&owned](Resource** taken) {
          *taken = owned.release();
          return absl::OkStatus();
        }));
  }
  resource->reset(found);
  Tensor* handle = nullptr;
  TF_RETURN_IF_ERROR(context->allocate_output(0, TensorShape({}), &handle));
  handle->scalar<tensorflow::ResourceHandle>()() =
      tensorflow::MakeResourceHandle<Resource>(context, place, name);
  return absl::OkStatus();
}

// The number that was meant by a float attribute: of the decimals that round to
// it the shortest, 0.999 and not 0.99900001287. What a component computes from
// its parameters in double, 1 - beta_2, then is what Keras computes.
double Meant(float value) {
  char text[32];
  for (int digits = 6; digits < 9; ++digits) {
    std::snprintf(text, sizeof(text), "%.*g", digits, value);
    if (std::strtof(text, nullptr) == value) return std::strtod(text, nullptr);
  }
  return value;
}

// Blocks until the shards have answered: it runs once, before training.
class StoreOp : public OpKernel {
 public:
  explicit StoreOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("addresses", &options_.addresses));
    std::int64_t deadline, connect_timeout, max_message;
    OP_REQUIRES_OK(context, context->GetAttr("deadline_ms", &deadline));
    OP_REQUIRES_OK(context,
                   context->GetAttr("connect_timeout_ms", &connect_timeout));
    OP_REQUIRES_OK(context, context->GetAttr("max_message_bytes", &max_message));
    Security& security = options_.security;
    for (const auto& [name, path] :
         {std::pair("tls_ca", &security.tls_ca), {"tls_cert", &security.tls_cert},
          {"tls_key", &security.tls_key}, {"token_file", &security.token_file},
          {"admin_token_file", &security.admin_token_file}}) {
      OP_REQUIRES_OK(context, context->GetAttr(name, path));
    }
    OP_REQUIRES_OK(context, context->GetAttr("container", &container_));
    OP_REQUIRES_OK(context, context->GetAttr("shared_name", &shared_name_));
    options_.deadline = std::chrono::milliseconds(deadline);
    options_.connect_timeout = std::chrono::milliseconds(connect_timeout);
    options_.max_message_bytes = static_cast<std::size_t>(max_message);
  }

  void Compute(OpKernelContext* context) override {
    tensorflow::core::RefCountPtr<StoreResource> resource;
    OP_REQUIRES_OK(
        context,
        MakeResource<StoreResource>(
            context, container_, shared_name_,
            [this](StoreResource** made) {
              auto store = OpenStore(options_);
              if (!store.ok()) return ToTensorFlow(store.status());
              *made = new StoreResource(std::move(store).Take());
              return absl::OkStatus();
            },
            &resource));
  }

 private:
  StoreOptions options_;
  std::string container_;
  std::string shared_name_;
};

class TableOp : public OpKernel {
 public:
  explicit TableOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("table_name", &spec_.name));
    std::int64_t dimension, seed, capacity, staleness, pending, size;
    OP_REQUIRES_OK(context, context->GetAttr("dimension", &dimension));
    OP_REQUIRES_OK(context, context->GetAttr("seed", &seed));
    OP_REQUIRES_OK(context, GetComponent(context, "initializer",
                                         &spec_.initializer));
    OP_REQUIRES_OK(context, GetComponent(context, "optimizer",
                                         &spec_.optimizer));
    OP_REQUIRES_OK(context,
                   context->GetAttr("synchronous", &spec_.synchronous));
    OP_REQUIRES_OK(context, context->GetAttr("capacity", &capacity));
    OP_REQUIRES_OK(context, context->GetAttr("staleness", &staleness));
    OP_REQUIRES_OK(context, context->GetAttr("policy", &options_.policy));
    OP_REQUIRES_OK(context, context->GetAttr("max_pending_commits", &pending));
    OP_REQUIRES_OK(context, context->GetAttr("vocabulary_size", &size));
    OP_REQUIRES_OK(context, context->GetAttr("reject_non_finite",
                                             &options_.reject_non_finite));
    OP_REQUIRES_OK(context, GetFormat(context, "row_format",
                                      &options_.row_format));
    OP_REQUIRES_OK(context, GetFormat(context, "gradient_format",
                                      &options_.gradient_format));
    OP_REQUIRES_OK(context, context->GetAttr("container", &container_));
    OP_REQUIRES_OK(context, context->GetAttr("shared_name", &shared_name_));
    spec_.dimension = static_cast<std::size_t>(dimension);
    spec_.seed = static_cast<std::uint64_t>(seed);
    options_.capacity = capacity;
    options_.staleness = staleness < 0 ? kUnboundedStaleness : staleness;
    options_.max_pending_commits = pending;
    options_.vocabulary_size = size;
  }

  void Compute(OpKernelContext* context) override {
    std::shared_ptr<CombiningStore> store;
    OP_REQUIRES_OK(context, GetStore(context, 0, &store));
    tensorflow::core::RefCountPtr<TableResource> table;
    OP_REQUIRES_OK(
        context,
        MakeResource<TableResource>(
            context, container_, shared_name_,
            [&](TableResource** made) {
              auto cache = EmbeddingCache::Create(spec_, options_, store,
                                                 ExecutorOf(context));
              if (!cache.ok()) return ToTensorFlow(cache.status());
              *made = new TableResource(std::move(cache).Take(), store);
              return absl::OkStatus();
            },
            &table));
    OP_REQUIRES_OK(context, ToTensorFlow(CheckSame(*table->cache())));
  }

 private:
  static absl::Status GetComponent(OpKernelConstruction* context,
                                   const std::string& attribute,
                                   ComponentSpec* spec) {
    std::vector<std::string> names;
    std::vector<float> values;
    TF_RETURN_IF_ERROR(context->GetAttr(attribute, &spec->name));
    TF_RETURN_IF_ERROR(context->GetAttr(attribute + "_names", &names));
    TF_RETURN_IF_ERROR(context->GetAttr(attribute + "_values", &values));
    if (names.size() != values.size()) {
      return InvalidInput(
          attribute, " has ", names.size(), " parameter names and ",
          values.size(), " values, expected as many");
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      spec->parameters[names[i]] = Meant(values[i]);
    }
    return absl::OkStatus();
  }

  static absl::Status GetFormat(OpKernelConstruction* context,
                                const std::string& attribute,
                                WireFormat* format) {
    std::string name;
    TF_RETURN_IF_ERROR(context->GetAttr(attribute, &name));
    const Result<WireFormat> parsed = ParseWireFormat(name);
    if (!parsed.ok()) {
      return ToTensorFlow(parsed.status().WithContext(attribute));
    }
    *format = *parsed;
    return absl::OkStatus();
  }

  // The resource may have been there before, under other options.
  Status CheckSame(EmbeddingCache& cache) const {
    TableSpec present = cache.table();
    present.optimizer = cache.optimizer();
    HET_RETURN_IF_ERROR(CheckSameSpec(present, spec_));
    const CacheOptions& there = cache.options();
    if (there.capacity != options_.capacity ||
        there.staleness != options_.staleness ||
        there.policy != options_.policy ||
        there.max_pending_commits != options_.max_pending_commits ||
        there.vocabulary_size != options_.vocabulary_size ||
        there.reject_non_finite != options_.reject_non_finite ||
        there.row_format != options_.row_format ||
        there.gradient_format != options_.gradient_format) {
      return InvalidArgument("table '", spec_.name, "' is open with ",
                             Describe(there), ", asked for ",
                             Describe(options_),
                             ": one table has one cache in a process");
    }
    return cache.SetOptimizer(spec_.optimizer);
  }

  static std::string Describe(const CacheOptions& options) {
    return "capacity=" + std::to_string(options.capacity) + ", staleness=" +
           (options.staleness == kUnboundedStaleness
                ? std::string("unbounded")
                : std::to_string(options.staleness)) +
           ", policy=" + options.policy +
           ", max_pending_commits=" +
           std::to_string(options.max_pending_commits) +
           ", vocabulary_size=" + std::to_string(options.vocabulary_size) +
           ", reject_non_finite=" +
           (options.reject_non_finite ? "true" : "false") +
           ", row_format=" + ToString(options.row_format) +
           ", gradient_format=" + ToString(options.gradient_format);
  }

  TableSpec spec_;
  CacheOptions options_;
  std::string container_;
  std::string shared_name_;
};

REGISTER_KERNEL_BUILDER(Name("HetStore").Device(tensorflow::DEVICE_CPU),
                        StoreOp);
REGISTER_KERNEL_BUILDER(
    Name("HetEmbeddingTable").Device(tensorflow::DEVICE_CPU), TableOp);

#ifdef HET_TF_CUDA
// The same kernels beside a GPU: a table's ops run where its resource is.
REGISTER_KERNEL_BUILDER(Name("HetStore")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("store"),
                        StoreOp);
REGISTER_KERNEL_BUILDER(Name("HetEmbeddingTable")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("store")
                            .HostMemory("table"),
                        TableOp);
#endif

}  // namespace
}  // namespace het
