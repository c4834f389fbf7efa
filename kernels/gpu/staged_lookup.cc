#include "kernels/gpu/staged_lookup.h"

#include <cstring>
#include <utility>
#include <vector>

#include "kernels/cache/unique_ids.h"

namespace het {
namespace {

// A block of staging memory, alike on both sides: rows [distinct, dimension],
// then the inverse index [occurrences].
class Call {
 public:
  Call(Span<const LookupPart> parts, std::size_t dimension,
       std::shared_ptr<RowDevice> device)
      : parts_(parts.begin(), parts.end()),
        dimension_(dimension),
        device_(std::move(device)) {
    std::size_t size = 0;
    for (const LookupPart& part : parts_) size += part.ids.size();
    unique_.Begin(size);
    for (const LookupPart& part : parts_) unique_.Add(part.ids);
  }

  Span<const RowId> ids() const { return unique_.ids(); }
  float* rows() const { return reinterpret_cast<float*>(host_.get()); }
  RowDevice& device() const { return *device_; }

  Status Allocate() {
    auto host = device_->AllocateHost(bytes());
    HET_RETURN_IF_ERROR(host.status());
    auto device = device_->AllocateDevice(bytes());
    HET_RETURN_IF_ERROR(device.status());
    host_ = std::move(host).Take();
    on_device_ = std::move(device).Take();
    return OkStatus();
  }

  // The rows have been read.
  Status Send() const {
    if (unique_.inverse().empty()) return OkStatus();
    std::memcpy(host_.get() + rows_bytes(), unique_.inverse().data(),
                unique_.inverse().size() * sizeof(std::uint32_t));
    HET_RETURN_IF_ERROR(
        device_->CopyToDevice(host_.get(), on_device_.get(), bytes()));
    GatherRows gather;
    gather.rows = reinterpret_cast<const float*>(on_device_.get());
    gather.inverse = reinterpret_cast<const std::uint32_t*>(on_device_.get() +
                                                            rows_bytes());
    gather.dimension = dimension_;
    for (const LookupPart& part : parts_) {
      gather.count = part.ids.size();
      gather.output = part.rows;
      if (gather.count > 0) HET_RETURN_IF_ERROR(device_->Run(gather));
      gather.inverse += gather.count;
    }
    return OkStatus();
  }

 private:
  std::size_t rows_bytes() const {
    return unique_.ids().size() * dimension_ * sizeof(float);
  }
  std::size_t bytes() const {
    return rows_bytes() + unique_.inverse().size() * sizeof(std::uint32_t);
  }

  const std::vector<LookupPart> parts_;
  const std::size_t dimension_;
  const std::shared_ptr<RowDevice> device_;
  UniqueIds unique_;
  RowDevice::Memory host_, on_device_;
};

}  // namespace

void StagedLookup(EmbeddingCache& cache, Span<const LookupPart> parts,
                  ReadMode mode, std::shared_ptr<RowDevice> device,
                  EmbeddingCache::Done done) {
  // Here, for the cache sees other positions.
  for (const LookupPart& part : parts) {
    Status status = cache.CheckIds(part.ids);
    if (!status.ok()) {
      done(std::move(status));
      return;
    }
  }
  auto call = std::make_shared<Call>(parts, cache.table().dimension,
                                     std::move(device));
  Status status = call->Allocate();
  if (!status.ok()) {
    done(std::move(status));
    return;
  }
  cache.Lookup(call->ids(), mode, call->rows(),
               [call, done = std::move(done)](Status read) {
                 if (!read.ok()) {
                   done(std::move(read));
                   return;
                 }
                 Status sent = call->Send();
                 // Also after an error: some of it may be on the stream.
                 Status kept = call->device().KeepUntilDone(call);
                 done(sent.ok() ? std::move(kept) : std::move(sent));
               });
}

}  // namespace het
