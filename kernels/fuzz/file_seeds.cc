#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/fuzz/log_files_input.h"
#include "kernels/fuzz/memory_files.h"
#include "kernels/fuzz/seeds.h"
#include "kernels/fuzz/target.h"
#include "kernels/shard/table.h"
#include "kernels/storage/checkpoint_file.h"
#include "kernels/storage/record_codec.h"
#include "kernels/testing/owned_request.h"

namespace het {
namespace {

constexpr std::size_t kDimension = 2;

TableSpec Spec(const std::string& name, const std::string& optimizer,
               bool synchronous = false) {
  TableSpec spec;
  spec.name = name;
  spec.dimension = kDimension;
  spec.seed = 3;
  spec.optimizer = {optimizer, {}};
  spec.synchronous = synchronous;
  return spec;
}

TableRecord Record(const TableSpec& spec, bool whole) {
  auto table = Table::Create(spec);
  RequireOk(table.status(), "a seed's table can be");
  return {spec, (*table)->slots(), whole};
}

RowBlock Rows(const TableRecord& table, RowId first, RowId end) {
  RowBlock rows;
  const std::vector<float> values(table.spec.dimension, 0.5f);
  const std::vector<float> slots(table.slots, 0.25f);
  for (RowId id = first; id < end; ++id) {
    rows.Append(id, id * id, values, slots);
  }
  return rows;
}

using Fill = std::function<void(CheckpointWriter*)>;

void Add(const TableRecord& table, RowId first, RowId end,
         CheckpointWriter* writer) {
  RequireOk(writer->AddTable(table), "a seed's table is written");
  RequireOk(writer->AddRows(table.spec.id(), Rows(table, first, end)),
            "a seed's rows are written");
}

const std::map<std::string, Fill>& Checkpoints() {
  static const std::map<std::string, Fill> checkpoints = {
      {"empty", [](CheckpointWriter*) {}},
      {"sgd",
       [](CheckpointWriter* writer) {
         Add(Record(Spec("a", "sgd"), true), -2, 3, writer);
       }},
      {"slots",
       [](CheckpointWriter* writer) {
         Add(Record(Spec("a", "adagrad"), true), 0, 2, writer);
         Add(Record(Spec("b", "lazy_adam"), true), 0, 2, writer);
       }},
      {"changed",
       [](CheckpointWriter* writer) {
         Add(Record(Spec("a", "sgd"), false), 7, 9, writer);
       }},
      {"interleaved",
       [](CheckpointWriter* writer) {
         const TableRecord a = Record(Spec("a", "sgd"), true);
         const TableRecord b = Record(Spec("b", "ftrl", true), true);
         Add(a, 0, 2, writer);
         Add(b, 0, 2, writer);
         RequireOk(writer->AddRows(a.spec.id(), Rows(a, 5, 6)), "more rows");
       }},
      {"no_optimizer",
       [](CheckpointWriter* writer) {
         Add(Record(Spec("a", "none"), true), 0, 2, writer);
         Add(Record(Spec("a", "momentum"), true), 2, 4, writer);
       }},
      {"parameters",
       [](CheckpointWriter* writer) {
         TableSpec spec = Spec("a", "adagrad");
         spec.optimizer.parameters = {{"epsilon", 1e-6}};
         spec.initializer = {"normal", {{"stddev", 0.5}}};
         Add(Record(spec, true), 0, 1, writer);
       }},
  };
  return checkpoints;
}

std::string Checkpoint(const Fill& fill, MemoryDirectory* directory) {
  auto writer = CheckpointWriter::Create(directory->PathOf("file"));
  RequireOk(writer.status(), "a seed's file is created");
  fill(writer->get());
  RequireOk((*writer)->Finish(), "a seed's file is finished");
  return directory->Read("file");
}

// A table and a block of none of its rows, which a writer would leave out.
std::string WithoutRows(MemoryDirectory* directory) {
  auto file = BlockFileWriter::Create(directory->PathOf("file"),
                                      FileKind::kCheckpoint);
  RequireOk(file.status(), "a seed's file is created");
  Encoder table, rows, end;
  EncodeTable(Record(Spec("a", "sgd"), true), &table);
  rows.Put(std::uint64_t{Spec("a", "sgd").id()});
  rows.Put(std::uint64_t{0});
  end.Put(std::uint64_t{0});
  const std::pair<std::uint32_t, Span<const char>> blocks[] = {
      {1, table.bytes()}, {2, rows.bytes()}, {4, end.bytes()}};
  for (const auto& [kind, payload] : blocks) {
    RequireOk((*file)->Write(kind, {&payload, 1}), "a seed's block");
  }
  RequireOk((*file)->Finish(), "a seed's file is finished");
  return directory->Read("file");
}

LogHead Head(std::uint64_t next) {
  return {0x3333333333333333, {{7, next}, {8, 1}}, {}};
}

// One exchange that pushes to the tables.
void Push(std::uint64_t sequence, const std::vector<TableSpec>& tables,
          PushLog* log) {
  OwnedRequest request;
  request.header = {7, 0, sequence};
  for (const TableSpec& spec : tables) {
    OwnedRequest::Table& table = request.Add(spec.id());
    table.round = spec.synchronous ? sequence : 0;
    table.Push(1, 2, 0.5f, {1, 2}).Push(-5, 3, 0.5f, {3, 4});
  }
  const ExchangeRequest& view = request.request();
  RequireOk(log->AppendExchange(view.header, view.tables), "a seed's exchange");
}

void Begin(const LogHead& head, PushLog* log) {
  RequireOk(log->Begin(head).status(), "a seed's segment");
}

// What a shard with one table of each kind writes. `base`: a checkpoint was made
// in the middle.
void WriteLog(bool base, MemoryDirectory* directory) {
  auto opened = PushLog::Open(directory->path(), Durability::kPageCache);
  RequireOk(opened.status(), "a seed's log");
  PushLog& log = **opened;
  const TableSpec plain = Spec("a", "adagrad");
  const TableSpec rounds = Spec("b", "sgd", /*synchronous=*/true);
  Begin(Head(1), &log);
  RequireOk(log.AppendTable(plain), "a seed's table");
  RequireOk(log.AppendTable(rounds), "a seed's other table");
  Push(1, {plain, rounds}, &log);
  const std::vector<RowId> ids = {4, 5};
  const std::vector<float> rows = {1, 2, 3, 4};
  RequireOk(log.AppendAssign(plain.id(), 9, ids, rows), "a seed's assignment");
  if (base) {
    LogHead head = Head(2);
    head.tables = {plain, rounds};
    Begin(head, &log);
    MemoryDirectory checkpoint;
    const Fill fill = [&](CheckpointWriter* writer) {
      Add(Record(plain, true), 1, 4, writer);
      Add(Record(rounds, true), 1, 2, writer);
    };
    Checkpoint(fill, &checkpoint);
    RequireOk(log.SetBase(2, {{checkpoint.PathOf("file")}, 0, 1}), "a seed's base");
  }
  Push(2, {rounds}, &log);
  Push(3, {plain}, &log);
  RequireOk(log.AppendTable(Spec("c", "sgd")), "a seed's last table");
  RequireOk(log.AppendDrop(Spec("c", "sgd").id()), "which nobody wants");
  RequireOk(log.AppendRefusal({2, 0, 99}, NotFound("no table")), "a refusal");
}

LogFilesInput FilesOf(const MemoryDirectory& directory) {
  LogFilesInput input;
  for (std::size_t name = 0; name < std::size(kLogFileNames); ++name) {
    const std::string content = directory.Read(kLogFileNames[name]);
    if (!content.empty()) {
      input.files.push_back({static_cast<std::uint8_t>(name), content});
    }
  }
  return input;
}

}  // namespace

Seeds CheckpointSeeds() {
  MemoryDirectory directory;
  Seeds seeds;
  for (const auto& [name, fill] : Checkpoints()) {
    seeds[name] = Checkpoint(fill, &directory);
  }
  seeds["without_rows"] = WithoutRows(&directory);
  seeds["cut_short"] = seeds["slots"].substr(0, seeds["slots"].size() - 30);
  seeds["damaged"] = seeds["sgd"];
  seeds["damaged"][60] ^= 1;
  return seeds;
}

Seeds LogSeeds() {
  Seeds seeds;
  MemoryDirectory directory;
  seeds["nothing"] = Serialize({});
  WriteLog(/*base=*/false, &directory);
  LogFilesInput input = FilesOf(directory);
  seeds["one_segment"] = Serialize(input);
  input.durability = Durability::kSynced;
  seeds["one_segment_synced"] = Serialize(input);
  std::string& segment = input.files[0].second;
  segment.resize(segment.size() - 11);
  seeds["torn_synced"] = Serialize(input);
  input.durability = Durability::kPageCache;
  seeds["torn"] = Serialize(input);
  segment.resize(13);
  seeds["torn_header"] = Serialize(input);
  directory.Clear();
  WriteLog(/*base=*/true, &directory);
  input = FilesOf(directory);
  seeds["base"] = Serialize(input);
  std::string& last = input.files[0].second;
  last[last.size() / 2] ^= 1;
  seeds["damaged"] = Serialize(input);
  // Two segments, the second of which a restart has begun.
  directory.Clear();
  WriteLog(/*base=*/false, &directory);
  {
    auto log = PushLog::Open(directory.path(), Durability::kPageCache);
    RequireOk(log.status(), "a seed's log again");
    Begin(Head(4), log->get());
    Push(4, {Spec("a", "adagrad")}, log->get());
  }
  seeds["two_segments"] = Serialize(FilesOf(directory));
  return seeds;
}

Seeds AllSeeds() {
  const std::map<std::string, Seeds> targets = {
      {"decode_request", RequestSeeds()}, {"decode_reply", ReplySeeds()},
      {"checkpoint_file", CheckpointSeeds()}, {"push_log", LogSeeds()},
      {"shard_recovery", LogSeeds()}};
  Seeds all;
  for (const auto& [target, seeds] : targets) {
    for (const auto& [name, bytes] : seeds) {
      all[target + "/" + name + ".bin"] = bytes;
    }
  }
  return all;
}

}  // namespace het
