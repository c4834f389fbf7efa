// Runs a target's inputs once each, without libFuzzer: the files and folders that
// are given, or the target's folder in kernels/fuzz/corpus.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "kernels/fuzz/target.h"

namespace fs = std::filesystem;

namespace {

// Exactly as large as the input, so that a sanitizer sees what lies behind it.
void Run(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const std::unique_ptr<std::uint8_t[]> input(new std::uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), input.get());
  LLVMFuzzerTestOneInput(input.get(), bytes.size());
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<fs::path> given;
  for (int i = 1; i < count; ++i) {
    if (arguments[i][0] != '-') given.emplace_back(arguments[i]);
  }
  if (given.empty()) {
    std::string name = fs::path(arguments[0]).filename().string();
    name.resize(name.rfind("_fuzz"));
    given.push_back(fs::path("kernels/fuzz/corpus") / name);
  }
  std::vector<fs::path> inputs;
  for (const fs::path& path : given) {
    if (!fs::is_directory(path)) {
      inputs.push_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) {
      inputs.push_back(entry.path());
    }
  }
  std::sort(inputs.begin(), inputs.end());
  for (const fs::path& input : inputs) {
    std::printf("%s\n", input.c_str());
    std::fflush(stdout);  // the last one is named when it ends the program
    Run(input);
  }
  std::printf("%zu inputs\n", inputs.size());
  return inputs.empty() ? 1 : 0;
}
