// What a worker asks of the shards about checkpoints. Plain values.
//
// A checkpoint is DIRECTORY/NAME with a file per shard; het_tf.checkpoint (Python)
// lays the directory out and says when a checkpoint is complete.

#ifndef HET_TF_KERNELS_STORE_CHECKPOINT_H_
#define HET_TF_KERNELS_STORE_CHECKPOINT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace het {

// Where the checkpoints are, and which of their files are the shard's.
struct CheckpointPlace {
  // A shard in another process has been told its own and takes no other.
  std::string directory;
  // What DIRECTORY/het_tf.mark has: that worker and shard mean one directory.
  std::string mark;
  // The shard's number; a ShardedStore says which.
  std::size_t shard = 0;
  std::size_t shards = 1;
};

struct SnapshotRequest {
  CheckpointPlace place;
  std::string name;
  std::string base;  // only rows that have changed since this one; empty: all
  std::uint64_t call = 0;  // drawn at random: repeats of one call have the same
  // True: nobody pushes until this has been answered, so a shard that does not
  // know the call takes its cut. False: a shard that does not has been restarted
  // since, and its cut would be of another moment than the others'.
  bool begin = true;
};

struct RestoreRequest {
  struct Part {
    std::string name;
    std::size_t shards = 1;  // files that it has
  };
  CheckpointPlace place;
  std::vector<Part> chain;  // a full one and those that build on it, in order
  std::uint64_t call = 0;   // as in SnapshotRequest
  // False: read and hold ready. True, once every shard is done with that: take
  // the rows over, unless the shard has been restarted and has to read again. So
  // either all shards have the checkpoint or none, unless one fails between.
  bool commit = false;
};

// Of a snapshot or a restore, over all shards asked.
struct CheckpointProgress {
  bool done = false;
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_CHECKPOINT_H_
