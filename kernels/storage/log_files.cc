#include "kernels/storage/log_files.h"

#include <filesystem>
#include <vector>

#include "kernels/storage/block_file.h"

namespace het {

namespace fs = std::filesystem;

std::optional<std::uint64_t> NumberIn(const std::string& name,
                                      const std::string& prefix) {
  const std::string suffix = ".het";
  if (name.size() <= prefix.size() + suffix.size() ||
      name.compare(0, prefix.size(), prefix) != 0 ||
      name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0) {
    return std::nullopt;
  }
  std::uint64_t number = 0;
  for (std::size_t i = prefix.size(); i < name.size() - suffix.size(); ++i) {
    if (name[i] < '0' || name[i] > '9') return std::nullopt;
    number = 10 * number + static_cast<std::uint64_t>(name[i] - '0');
  }
  return number;
}

Status HoldFile(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::remove(to, error);
  fs::create_hard_link(from, to, error);
  if (!error) return OkStatus();
  fs::copy_file(from, to, error);
  if (error) {
    return Internal("cannot keep ", from, " as ", to, ": ", error.message());
  }
  return SyncFile(to);
}

void RemoveLogFilesBefore(const std::string& directory, std::uint64_t number) {
  // What cannot be removed is superfluous, not harmful.
  std::error_code error;
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    std::optional<std::uint64_t> found = NumberIn(name, "segment-");
    if (!found) found = NumberIn(name, "base-");
    if (!found && name.compare(0, 5, "rows-") == 0) {
      found = NumberIn(name.substr(0, name.find('-', 5)) + ".het", "rows-");
    }
    if (found && *found < number) old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove(path, error);
}

}  // namespace het
