#include "kernels/shard/checkpoint_directory.h"

#include <cctype>
#include <fstream>

#include "kernels/store/router.h"

namespace het {

Status CheckCheckpointName(const std::string& name) {
  constexpr std::size_t kLongest = 128;
  bool good = !name.empty() && name.size() <= kLongest &&
              std::isalnum(static_cast<unsigned char>(name[0])) != 0;
  for (const char c : name) {
    good = good && (std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                    c == '.' || c == '-' || c == '_');
  }
  if (good) return OkStatus();
  return InvalidArgument("a checkpoint cannot have the name '", name,
                         "': expected 1 to ", kLongest,
                         " letters, digits, dots, dashes and underscores, a "
                         "letter or a digit first");
}

Status CheckDirectory(const CheckpointPlace& place) {
  if (place.directory.empty()) {
    return FailedPrecondition(
        "this shard has no directory for checkpoints: start it with "
        "--checkpoint-dir, the same directory as the workers'");
  }
  const std::string file = place.directory + "/het_tf.mark";
  std::ifstream in(file);
  std::string mark;
  if (!(in >> mark)) {
    return FailedPrecondition(
        "there is no ", file, " at this shard: its --checkpoint-dir has to be "
        "the workers' directory, on storage that all of them share");
  }
  if (mark != place.mark) {
    return FailedPrecondition(
        file, " at this shard has the mark ", mark, ", the workers' has ",
        place.mark, ": give all of them the same directory, on storage that "
        "all of them share");
  }
  return OkStatus();
}

std::string ShardFile(const std::string& directory, const std::string& name,
                      std::size_t shard, std::size_t shards) {
  return directory + "/" + name + "/shard-" + std::to_string(shard) + "-of-" +
         std::to_string(shards) + ".het";
}

std::vector<std::size_t> FilesWithRowsOf(std::size_t shard, std::size_t shards,
                                         std::size_t files) {
  const Router here(shards), there(files);
  std::vector<std::size_t> found;
  for (std::uint64_t partition = 0; partition < kPartitions; ++partition) {
    if (here.ShardOfPartition(partition) != shard) continue;
    const std::size_t file = there.ShardOfPartition(partition);
    if (found.empty() || found.back() != file) found.push_back(file);
  }
  return found;
}

}  // namespace het
