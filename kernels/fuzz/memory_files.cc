#include "kernels/fuzz/memory_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "kernels/fuzz/target.h"

namespace het {

MemoryDirectory::MemoryDirectory()
    : path_(std::filesystem::temp_directory_path() / "het-fuzz-XXXXXX") {
  Require(mkdtemp(path_.data()) != nullptr, "there is room in memory");
}

MemoryDirectory::~MemoryDirectory() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

void MemoryDirectory::Write(const std::string& name,
                            Span<const std::uint8_t> bytes) {
  const int file = open(PathOf(name).c_str(),
                        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  Require(file >= 0 && write(file, bytes.data(), bytes.size()) ==
                           static_cast<ssize_t>(bytes.size()),
          "there is room in memory");
  close(file);
}

std::string MemoryDirectory::Read(const std::string& name) const {
  std::ifstream file(PathOf(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// With less ado than std::filesystem, for it is done for every input.
void MemoryDirectory::Clear() {
  DIR* const directory = opendir(path_.c_str());
  Require(directory != nullptr, "the directory is there");
  const int handle = dirfd(directory);
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') unlinkat(handle, entry->d_name, 0);
  }
  closedir(directory);
}

}  // namespace het
