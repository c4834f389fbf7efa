// The paths of a checkpoint's files, checked.
//
// Pure functions but for CheckDirectory, which reads the directory's mark.

#ifndef HET_TF_KERNELS_SHARD_CHECKPOINT_DIRECTORY_H_
#define HET_TF_KERNELS_SHARD_CHECKPOINT_DIRECTORY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/store/checkpoint.h"

namespace het {

// INVALID_ARGUMENT unless it has 1 to 128 letters, digits, dots, dashes and
// underscores and begins with a letter or a digit: so it stays in its directory.
Status CheckCheckpointName(const std::string& name);

// FAILED_PRECONDITION when the shard has no directory, or it does not have the
// mark: worker and shard would not see the same files.
Status CheckDirectory(const CheckpointPlace& place);

// "DIRECTORY/NAME/shard-I-of-N.het"
std::string ShardFile(const std::string& directory, const std::string& name,
                      std::size_t shard, std::size_t shards);

// The files of a checkpoint of `files` shards in which rows of shard `shard` of
// `shards` may be: rows move by partitions (Router).
std::vector<std::size_t> FilesWithRowsOf(std::size_t shard, std::size_t shards,
                                         std::size_t files);

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_CHECKPOINT_DIRECTORY_H_
