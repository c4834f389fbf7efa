// CheckpointReader: whatever a file holds is read or refused with DATA_LOSS, or
// with FAILED_PRECONDITION for another version. What is read to its end can be
// written, and reads the same again.
//
// Input: the file. What changes it keeps the checksums right (block_mutator.h).

#include <vector>

#include "kernels/fuzz/block_mutator.h"
#include "kernels/fuzz/memory_files.h"
#include "kernels/fuzz/target.h"
#include "kernels/storage/checkpoint_file.h"

namespace het {
namespace {

using Item = CheckpointReader::Item;

struct Part {
  Item item;
  TableRecord table;
  RowBlock rows;
};

void RequireWhole(const TableRecord& table, const RowBlock& rows) {
  const std::size_t count = rows.ids.size();
  Require(rows.clocks.size() == count &&
              rows.values.size() == count * table.spec.dimension &&
              rows.slots.size() == count * table.slots,
          "the rows' arrays fit together");
  Touch<RowId>(rows.ids);
  Touch<Clock>(rows.clocks);
  Touch<float>(rows.values);
  Touch<float>(rows.slots);
}

// Empty: it was refused.
std::vector<Part> ReadAll(const std::string& path) {
  const auto refuse = [](const Status& status) -> std::vector<Part> {
    RequireRefusal(status,
                   {StatusCode::kDataLoss, StatusCode::kFailedPrecondition});
    return {};
  };
  auto opened = CheckpointReader::Open(path);
  if (!opened.ok()) return refuse(opened.status());
  CheckpointReader& reader = **opened;
  std::vector<Part> parts;
  while (true) {
    const auto item = reader.Next();
    if (!item.ok()) return refuse(item.status());
    parts.push_back({*item, {}, {}});
    if (*item == Item::kEnd) return parts;
    parts.back().table = reader.table();
    RequireOk(Validate(reader.table().spec), "a table that was read can be");
    if (*item == Item::kRows) {
      RequireWhole(reader.table(), reader.rows());
      parts.back().rows = reader.rows();
    }
  }
}

void WriteAll(const std::string& path, const std::vector<Part>& parts) {
  auto writer = CheckpointWriter::Create(path);
  RequireOk(writer.status(), "a file can be created");
  for (const Part& part : parts) {
    if (part.item == Item::kTable) {
      RequireOk((*writer)->AddTable(part.table), "a table can be written");
    } else if (part.item == Item::kRows) {
      RequireOk((*writer)->AddRows(part.table.spec.id(), part.rows),
                "rows can be written");
    }
  }
  RequireOk((*writer)->Finish(), "a file can be finished");
}

bool HasRows(const Part& part) {
  return part.item != Item::kRows || !part.rows.empty();
}

void RequireSame(const std::vector<Part>& parts,
                 const std::vector<Part>& again) {
  std::size_t next = 0;
  for (const Part& part : parts) {
    if (!HasRows(part)) continue;  // nobody writes such a block
    Require(next < again.size(), "as many parts again");
    const Part& other = again[next++];
    Require(part.item == other.item, "the same parts again");
    const TableSpec& spec = part.table.spec;
    Require(spec.name == other.table.spec.name &&
                spec.dimension == other.table.spec.dimension &&
                spec.seed == other.table.spec.seed &&
                spec.synchronous == other.table.spec.synchronous &&
                part.table.slots == other.table.slots &&
                part.table.whole == other.table.whole,
            "the same tables again");
    Require(SameBits<RowId>(part.rows.ids, other.rows.ids) &&
                SameBits<Clock>(part.rows.clocks, other.rows.clocks) &&
                SameBits<float>(part.rows.values, other.rows.values) &&
                SameBits<float>(part.rows.slots, other.rows.slots),
            "the same rows again");
  }
  Require(next == again.size(), "no more parts than before");
}

void Read(Span<const std::uint8_t> bytes) {
  static MemoryDirectory directory;
  directory.Write("file", bytes);
  const std::vector<Part> parts = ReadAll(directory.PathOf("file"));
  if (parts.empty()) return;
  WriteAll(directory.PathOf("again"), parts);
  RequireSame(parts, ReadAll(directory.PathOf("again")));
}

}  // namespace
}  // namespace het

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  het::Read({data, size});
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                    std::size_t max_size, unsigned int seed) {
  std::minstd_rand random(seed);
  std::string bytes(reinterpret_cast<const char*>(data), size);
  het::MutateFile(&bytes, max_size, &random);
  std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}
