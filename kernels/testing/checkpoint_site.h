// CheckpointSite: a directory for checkpoints, with its mark, and calls that wait
// until a checkpoint has been written or restored; for tests.
//
// Ownership: the directory goes with the object. Thread-safety: none.

#ifndef HET_TF_KERNELS_TESTING_CHECKPOINT_SITE_H_
#define HET_TF_KERNELS_TESTING_CHECKPOINT_SITE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/store/embedding_store.h"

namespace het {

class CheckpointSite {
 public:
  CheckpointSite();
  ~CheckpointSite();
  CheckpointSite(const CheckpointSite&) = delete;
  CheckpointSite& operator=(const CheckpointSite&) = delete;

  const std::string& directory() const { return directory_; }
  static const char* mark() { return "0123456789abcdef"; }
  std::string FileOf(const std::string& name, std::size_t shard = 0,
                     std::size_t shards = 1) const;

  SnapshotRequest Snapshot(const std::string& name,
                           const std::string& base = "");
  RestoreRequest Restore(const std::vector<RestoreRequest::Part>& chain);

  // Ask until it is done, also of a shard that is busy with an earlier call.
  Result<CheckpointProgress> Save(EmbeddingStore& store,
                                  const std::string& name,
                                  const std::string& base = "");
  Result<CheckpointProgress> Load(
      EmbeddingStore& store, const std::vector<RestoreRequest::Part>& chain);
  static Result<CheckpointProgress> Wait(EmbeddingStore& store,
                                         SnapshotRequest request);
  static Result<CheckpointProgress> Wait(EmbeddingStore& store,
                                         RestoreRequest request);

 private:
  std::string directory_;
  std::uint64_t calls_ = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_CHECKPOINT_SITE_H_
