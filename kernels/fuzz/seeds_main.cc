// usage: seeds_main [FOLDER]: writes the targets' first inputs to
// kernels/fuzz/corpus, or to the folder.

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "kernels/fuzz/seeds.h"

int main(int count, char** arguments) {
  const std::filesystem::path folder =
      count > 1 ? arguments[1] : "kernels/fuzz/corpus";
  const het::Seeds seeds = het::AllSeeds();
  for (const auto& [name, bytes] : seeds) {
    std::filesystem::create_directories((folder / name).parent_path());
    std::ofstream file(folder / name, std::ios::binary);
    file << bytes;
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write %s\n", (folder / name).c_str());
      return 1;
    }
  }
  std::printf("%zu inputs in %s\n", seeds.size(), folder.c_str());
  return 0;
}
