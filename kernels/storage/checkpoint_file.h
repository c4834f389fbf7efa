// CheckpointWriter and CheckpointReader: the rows of one shard in a file of
// blocks: tables, their rows, an end. docs/checkpoints.md has the format.
//
// Ownership: each owns its file. Thread-safety: none.

#ifndef HET_TF_KERNELS_STORAGE_CHECKPOINT_FILE_H_
#define HET_TF_KERNELS_STORAGE_CHECKPOINT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/storage/block_file.h"
#include "kernels/store/table_spec.h"

namespace het {

// Rows of one table. Row i has values[i * dimension ...] and slots[i * slots ...].
struct RowBlock {
  std::vector<RowId> ids;
  std::vector<Clock> clocks;
  std::vector<float> values;
  std::vector<float> slots;

  bool empty() const { return ids.empty(); }
  void clear();  // keeps the memory
  std::size_t bytes() const;
  void Append(RowId id, Clock clock, Span<const float> row_values,
              Span<const float> row_slots);
};

// What a file says of a table before its rows.
struct TableRecord {
  TableSpec spec;
  std::size_t slots = 0;  // optimizer state: floats per row
  bool whole = false;     // every row follows; else those changed since the base
};

class CheckpointWriter {
 public:
  static Result<std::unique_ptr<CheckpointWriter>> Create(
      const std::string& path);

  Status AddTable(const TableRecord& table);
  // REQUIRES: the table has been added.
  Status AddRows(TableId table, const RowBlock& rows);
  // The file is complete and has its name (BlockFileWriter::Finish).
  Status Finish();

  std::uint64_t rows() const { return rows_; }
  std::uint64_t bytes() const { return file_->bytes(); }

 private:
  explicit CheckpointWriter(std::unique_ptr<BlockFileWriter> file)
      : file_(std::move(file)) {}

  const std::unique_ptr<BlockFileWriter> file_;
  std::uint64_t rows_ = 0;
};

class CheckpointReader {
 public:
  enum class Item { kTable, kRows, kEnd };

  static Result<std::unique_ptr<CheckpointReader>> Open(
      const std::string& path);

  // Reads on to the next item; DATA_LOSS as BlockFileReader, also for a file
  // without an end.
  Result<Item> Next();
  // The table that was read, or to which the rows that were read belong.
  const TableRecord& table() const { return *table_; }
  const RowBlock& rows() const { return rows_; }

  std::uint64_t bytes() const { return file_->bytes(); }

 private:
  explicit CheckpointReader(std::unique_ptr<BlockFileReader> file)
      : file_(std::move(file)) {}
  Status ReadTable(Span<const char> payload);
  Status ReadRows(Span<const char> payload);
  Status ReadEnd(Span<const char> payload);

  const std::unique_ptr<BlockFileReader> file_;
  std::unordered_map<TableId, TableRecord> tables_;
  const TableRecord* table_ = nullptr;
  RowBlock rows_;
  std::uint64_t row_count_ = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORAGE_CHECKPOINT_FILE_H_
