// PushLog: whatever the files of its directory hold, its records are given to the
// replayer or it is refused with DATA_LOSS, or with FAILED_PRECONDITION for
// another version. What was replayed is replayed again, with what is appended to
// it.
//
// Input: the files (log_files_input.h).

#include "kernels/fuzz/log_files_input.h"
#include "kernels/fuzz/target.h"
#include "kernels/storage/record_codec.h"

namespace het {
namespace {

// Puts down what it is given, in one piece per record.
class Recorder final : public LogReplayer {
 public:
  Status Head(const LogHead& head) override {
    return Put({EncodeHead(head)});
  }
  Status Table(const TableSpec& spec) override {
    RequireOk(Validate(spec), "a table of a log can be");
    return Put({EncodeLoggedTable(spec)});
  }
  Status Exchange(const ExchangeRequest& request) override {
    std::vector<std::string> pieces = {Number(request.header.worker),
                                       Number(request.header.sequence)};
    for (const TableExchange& table : request.tables) {
      Require(table.push_clocks.size() == table.push_ids.size() &&
                  table.push_learning_rates.size() == table.push_ids.size(),
              "every row that was pushed has a clock and a learning rate");
      pieces.insert(pieces.end(),
                    {Number(table.table), Number(table.round),
                     Text(table.push_ids), Text(table.push_clocks),
                     Text(table.push_learning_rates),
                     Text(table.push_gradients)});
    }
    return Put(pieces);
  }
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override {
    return Put({Number(table), Number(static_cast<std::uint64_t>(staleness)),
                Text(ids), Text(rows)});
  }
  Status Drop(TableId table) override { return Put({"drop", Number(table)}); }
  Status Refusal(const ExchangeHeader& header, const Status& status) override {
    return Put({"refusal", Number(header.worker), Number(header.sequence),
                status.ToString()});
  }

  std::vector<std::string> records;

 private:
  static std::string Number(std::uint64_t number) {
    return std::to_string(number) + " ";
  }
  template <typename T>
  static std::string Text(Span<const T> values) {
    const Span<const char> bytes = BytesOf(values);
    return std::string(bytes.data(), bytes.size());
  }
  Status Put(const std::vector<std::string>& pieces) {
    records.emplace_back();
    for (const std::string& piece : pieces) records.back() += piece;
    return OkStatus();
  }
};

constexpr std::initializer_list<StatusCode> kPromised = {
    StatusCode::kDataLoss, StatusCode::kFailedPrecondition};

// Opens the log and replays it; null when it was refused.
std::unique_ptr<PushLog> Replay(const std::string& directory,
                                Durability durability, Recorder* recorder) {
  auto opened = PushLog::Open(directory, durability);
  if (!opened.ok()) {
    RequireRefusal(opened.status(), kPromised);
    return nullptr;
  }
  std::unique_ptr<PushLog> log = std::move(opened).Take();
  for (const std::string& file : log->base().files) {
    Require(file.compare(0, directory.size(), directory) == 0,
            "files of the base are in the log's directory");
  }
  Require(log->base().shard < log->base().shards, "the base is a shard's");
  const Status status = log->Replay(recorder);
  if (!status.ok()) {
    RequireRefusal(status, kPromised);
    return nullptr;
  }
  return log;
}

void Append(PushLog* log, Durability durability) {
  const RowId id = 5;
  const Clock clock = 6;
  const float number = 0.5f;
  TableExchange table;
  table.table = 1;
  table.push_ids = {&id, 1};
  table.push_clocks = {&clock, 1};
  table.push_learning_rates = {&number, 1};
  table.push_gradients = {&number, 1};
  RequireOk(log->Begin({}).status(), "the next segment begins");
  RequireOk(log->AppendExchange({1, 2, 3}, {&table, 1}), "it takes records");
  RequireOk(log->AppendAssign(1, 0, {&id, 1}, {&number, 1}), "and others");
  RequireOk(log->AppendDrop(1), "of every");
  RequireOk(log->AppendRefusal({1, 2, 4}, NotFound("x")), "kind");
  // Once is enough for a sync on another thread.
  if (durability == Durability::kSynced) log->WhenDurable([](const Status&) {});
}

void Read(Span<const std::uint8_t> bytes) {
  static MemoryDirectory directory;
  const LogFilesInput input = ParseLogFiles(bytes);
  Write(input, &directory);
  Recorder first;
  std::unique_ptr<PushLog> log =
      Replay(directory.path(), input.durability, &first);
  if (log == nullptr) return;
  Append(log.get(), input.durability);
  log.reset();
  Recorder again;
  log = Replay(directory.path(), Durability::kPageCache, &again);
  Require(log != nullptr, "what was replayed is replayed again");
  constexpr std::size_t kAppended = 5;
  Require(again.records.size() == first.records.size() + kAppended,
          "nothing is lost of it");
  again.records.resize(first.records.size());
  Require(again.records == first.records, "it is the same");
}

}  // namespace
}  // namespace het

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  het::Read({data, size});
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                    std::size_t max_size, unsigned int seed) {
  return het::MutateLogFiles(data, size, max_size, seed);
}
