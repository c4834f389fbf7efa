// Shard::Open: whatever the files of a log's directory hold, the shard comes back
// or refuses to. One that came back comes back again, with the same rows.
//
// Input: the files (log_files_input.h).

#include "kernels/fuzz/log_files_input.h"
#include "kernels/fuzz/target.h"
#include "kernels/shard/shard.h"

namespace het {
namespace {

// Null when it was refused.
std::shared_ptr<Shard> Open(const std::string& directory,
                            Durability durability) {
  Shard::Options options;
  options.incarnation = 1;
  options.log_directory = directory;
  options.durability = durability;
  auto opened = Shard::Open(options);
  if (opened.ok()) return std::move(opened).Take();
  // NOT_FOUND: a file of the base; INVALID_ARGUMENT: records that contradict
  // one another.
  RequireRefusal(opened.status(),
                 {StatusCode::kDataLoss, StatusCode::kFailedPrecondition,
                  StatusCode::kInvalidArgument, StatusCode::kNotFound});
  return nullptr;
}

std::vector<TableStats> Tables(Shard* shard) {
  auto stats = shard->Stats();
  RequireOk(stats.status(), "a shard tells what it has");
  Require(stats->size() == 1, "it speaks for itself");
  return stats->front().tables;
}

void RequireSame(const std::vector<TableStats>& a,
                 const std::vector<TableStats>& b) {
  Require(a.size() == b.size(), "as many tables again");
  for (std::size_t t = 0; t < a.size(); ++t) {
    Require(a[t].name == b[t].name && a[t].rows == b[t].rows,
            "the same tables again");
  }
}

void Recover(Span<const std::uint8_t> bytes) {
  static MemoryDirectory directory;
  const LogFilesInput input = ParseLogFiles(bytes);
  Write(input, &directory);
  std::shared_ptr<Shard> shard = Open(directory.path(), input.durability);
  if (shard == nullptr) return;
  const std::vector<TableStats> tables = Tables(shard.get());
  const Incarnation incarnation = shard->incarnation();
  shard.reset();  // it holds the log
  shard = Open(directory.path(), input.durability);
  Require(shard != nullptr, "a shard that came back comes back again");
  Require(shard->incarnation() == incarnation, "it is the same shard");
  RequireSame(tables, Tables(shard.get()));
}

}  // namespace
}  // namespace het

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  het::Recover({data, size});
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                    std::size_t max_size, unsigned int seed) {
  return het::MutateLogFiles(data, size, max_size, seed);
}
