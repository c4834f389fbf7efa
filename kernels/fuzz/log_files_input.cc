#include "kernels/fuzz/log_files_input.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "kernels/fuzz/block_mutator.h"

namespace het {
namespace {

constexpr std::size_t kNames = std::size(kLogFileNames);
constexpr std::size_t kFileHeader = 3;
constexpr std::size_t kLargest = 0xffff;

}  // namespace

LogFilesInput ParseLogFiles(Span<const std::uint8_t> bytes) {
  LogFilesInput input;
  if (bytes.empty()) return input;
  if (bytes[0] % 2 != 0) input.durability = Durability::kSynced;
  std::size_t at = 1;
  while (bytes.size() - at >= kFileHeader) {
    const std::uint8_t* header = bytes.data() + at;
    at += kFileHeader;
    const std::size_t size = std::min<std::size_t>(
        header[1] + std::size_t{header[2]} * 256, bytes.size() - at);
    input.files.push_back(
        {static_cast<std::uint8_t>(header[0] % kNames),
         std::string(reinterpret_cast<const char*>(bytes.data() + at), size)});
    at += size;
  }
  return input;
}

std::string Serialize(const LogFilesInput& input) {
  std::string bytes(1, input.durability == Durability::kSynced ? '\1' : '\0');
  for (const auto& [name, content] : input.files) {
    const std::size_t size = std::min(content.size(), kLargest);
    bytes += static_cast<char>(name);
    bytes += static_cast<char>(size % 256);
    bytes += static_cast<char>(size / 256);
    bytes.append(content, 0, size);
  }
  return bytes;
}

void Write(const LogFilesInput& input, MemoryDirectory* directory) {
  directory->Clear();
  for (const auto& [name, content] : input.files) {
    directory->Write(kLogFileNames[name],
                     {reinterpret_cast<const std::uint8_t*>(content.data()),
                      content.size()});
  }
}

std::size_t MutateLogFiles(std::uint8_t* data, std::size_t size,
                           std::size_t most, unsigned int seed) {
  std::minstd_rand random(seed);
  LogFilesInput input = ParseLogFiles({data, size});
  auto& files = input.files;
  const auto draw = [&](std::size_t end) { return random() % end; };
  const std::size_t choice = files.empty() ? 0 : draw(32);
  const std::size_t at = files.empty() ? 0 : draw(files.size());
  const auto name = static_cast<std::uint8_t>(draw(kNames));
  // Rarely: then a thread waits for another one.
  input.durability = draw(64) == 0 ? Durability::kSynced : Durability::kPageCache;
  switch (choice) {
    case 0:
      files.push_back({name, files.empty() ? std::string() : files[at].second});
      break;
    case 1:
      files.erase(files.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 2:
      files[at].first = name;
      break;
    default: {
      const std::size_t others = size - std::min(size, files[at].second.size());
      MutateFile(&files[at].second, most - std::min(most - 1, others), &random);
    }
  }
  const std::string bytes = Serialize(input);
  const std::size_t kept = std::min(bytes.size(), most);
  std::memcpy(data, bytes.data(), kept);
  return kept;
}

}  // namespace het
