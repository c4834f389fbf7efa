#include "kernels/testing/checkpoint_site.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "kernels/shard/checkpoint_directory.h"

namespace het {
namespace {

// With what has failed at another shard and goes on at this one.
bool IsBusy(const Status& status) {
  return status.code() == StatusCode::kFailedPrecondition &&
         status.message().find("is busy with") != std::string::npos;
}

}  // namespace

CheckpointSite::CheckpointSite() {
  std::string name =
      (std::filesystem::temp_directory_path() / "het-tf-test-XXXXXX").string();
  directory_ = mkdtemp(name.data()) == nullptr ? std::string() : name;
  std::ofstream(directory_ + "/het_tf.mark") << mark() << "\n";
}

CheckpointSite::~CheckpointSite() {
  if (directory_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string CheckpointSite::FileOf(const std::string& name, std::size_t shard,
                                   std::size_t shards) const {
  return ShardFile(directory_, name, shard, shards);
}

SnapshotRequest CheckpointSite::Snapshot(const std::string& name,
                                         const std::string& base) {
  SnapshotRequest request;
  request.place.directory = directory_;
  request.place.mark = mark();
  request.name = name;
  request.base = base;
  request.call = ++calls_;
  return request;
}

RestoreRequest CheckpointSite::Restore(
    const std::vector<RestoreRequest::Part>& chain) {
  RestoreRequest request;
  request.place.directory = directory_;
  request.place.mark = mark();
  request.chain = chain;
  request.call = ++calls_;
  return request;
}

Result<CheckpointProgress> CheckpointSite::Save(EmbeddingStore& store,
                                                const std::string& name,
                                                const std::string& base) {
  return Wait(store, Snapshot(name, base));
}

Result<CheckpointProgress> CheckpointSite::Load(
    EmbeddingStore& store, const std::vector<RestoreRequest::Part>& chain) {
  return Wait(store, Restore(chain));
}

Result<CheckpointProgress> CheckpointSite::Wait(EmbeddingStore& store,
                                                SnapshotRequest request) {
  while (true) {
    const auto progress = store.Snapshot(request);
    std::this_thread::yield();
    if (IsBusy(progress.status())) continue;
    if (!progress.ok() || progress->done) return progress;
    request.begin = false;
  }
}

Result<CheckpointProgress> CheckpointSite::Wait(EmbeddingStore& store,
                                                RestoreRequest request) {
  while (true) {
    const auto progress = store.Restore(request);
    std::this_thread::yield();
    if (IsBusy(progress.status())) continue;
    if (!progress.ok() || (progress->done && request.commit)) return progress;
    request.commit = progress->done;
  }
}

}  // namespace het
