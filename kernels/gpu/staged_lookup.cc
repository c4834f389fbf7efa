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
        device_(std::move(device)) {}

  RowDevice& device() const { return *device_; }

  // The place for the rows, with the index behind it.
  Result<float*> Allocate(const UniqueIds& unique) {
    rows_bytes_ = unique.ids().size() * dimension_ * sizeof(float);
    const std::size_t index_bytes =
        unique.inverse().size() * sizeof(std::uint32_t);
    bytes_ = rows_bytes_ + index_bytes;
    auto host = device_->AllocateHost(bytes_);
    HET_RETURN_IF_ERROR(host.status());
    auto device = device_->AllocateDevice(bytes_);
    HET_RETURN_IF_ERROR(device.status());
    host_ = std::move(host).Take();
    on_device_ = std::move(device).Take();
    if (index_bytes > 0) {
      std::memcpy(host_.get() + rows_bytes_, unique.inverse().data(),
                  index_bytes);
    }
    return reinterpret_cast<float*>(host_.get());
  }

  // The rows have been read.
  Status Send() const {
    if (bytes_ == 0) return OkStatus();
    HET_RETURN_IF_ERROR(
        device_->CopyToDevice(host_.get(), on_device_.get(), bytes_));
    GatherRows gather;
    gather.rows = reinterpret_cast<const float*>(on_device_.get());
    gather.inverse = reinterpret_cast<const std::uint32_t*>(on_device_.get() +
                                                            rows_bytes_);
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
  const std::vector<LookupPart> parts_;
  const std::size_t dimension_;
  const std::shared_ptr<RowDevice> device_;
  std::size_t rows_bytes_ = 0, bytes_ = 0;
  RowDevice::Memory host_, on_device_;
};

}  // namespace

void StagedLookup(EmbeddingCache& cache, Span<const LookupPart> parts,
                  ReadMode mode, std::shared_ptr<RowDevice> device,
                  EmbeddingCache::Done done) {
  auto call = std::make_shared<Call>(parts, cache.table().dimension,
                                     std::move(device));
  cache.LookupDistinct(
      parts, mode,
      [&call](const UniqueIds& unique) { return call->Allocate(unique); },
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
