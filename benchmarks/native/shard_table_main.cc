// One table at one shard, from nothing to a number of rows: its memory, and what
// an exchange costs while it grows and when it is there.
//
//   shard_table_main ROWS DIMENSION OPTIMIZER SECONDS
//
// Prints one JSON object. Exchanges go to the Shard in this process: no wire, one
// worker, BATCH ids each. Three phases:
//   filling:  pushes of new ids alone, up to nine tenths of ROWS;
//   growing:  pushes of which each tenth id is new, and fetches of the ids that
//             are pushed next, up to ROWS;
//   settled:  the same for SECONDS, all ids there and drawn uniformly.
// Memory is the process's resident set, less what it was before the table.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <vector>

#include "kernels/base/hash.h"
#include "kernels/shard/shard.h"

namespace het {
namespace {

constexpr std::size_t kBatch = 4096;

std::int64_t ResidentBytes() {
  std::int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

[[noreturn]] void Fail(const Status& status) {
  std::cerr << status.ToString() << "\n";
  std::exit(1);
}

// Ids spread over all int64, row by row.
RowId IdOf(std::size_t row) { return static_cast<RowId>(Mix64(row + 1)); }

class Client {
 public:
  explicit Client(const TableSpec& spec)
      : table_(spec.id()),
        clocks_(kBatch, 1),
        rates_(kBatch, 0.01f),
        gradients_(kBatch * spec.dimension, 1e-3f) {
    const Status created = shard_.CreateTable(spec);
    if (!created.ok()) Fail(created);
  }

  // Seconds of one exchange.
  double Exchange(const std::vector<RowId>& push,
                  const std::vector<RowId>& fetch) {
    const std::size_t dimension = gradients_.size() / kBatch;
    ExchangeRequest request;
    request.header = {1, shard_.incarnation(), ++sequence_};
    TableExchange exchange;
    exchange.table = table_;
    exchange.push_ids = push;
    exchange.push_clocks = {clocks_.data(), push.size()};
    exchange.push_learning_rates = {rates_.data(), push.size()};
    exchange.push_gradients = {gradients_.data(), push.size() * dimension};
    exchange.fetch_ids = fetch;
    request.tables.push_back(exchange);
    const auto begin = std::chrono::steady_clock::now();
    auto reply = ExchangeAndWait(shard_, request);
    const auto end = std::chrono::steady_clock::now();
    if (!reply.ok()) Fail(reply.status());
    return std::chrono::duration<double>(end - begin).count();
  }

 private:
  Shard shard_;
  const TableId table_;
  const std::vector<Clock> clocks_;
  const std::vector<float> rates_;
  const std::vector<float> gradients_;
  std::uint64_t sequence_ = 0;
};

void Print(const char* phase, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    return seconds[static_cast<std::size_t>(
        share * static_cast<double>(seconds.size() - 1))];
  };
  std::printf(
      "\"%s\": {\"exchanges\": %zu, \"median\": %.9f, \"p99\": %.9f, "
      "\"most\": %.9f}",
      phase, seconds.size(), at(0.5), at(0.99), seconds.back());
}

int Run(std::size_t rows, std::size_t dimension, const char* optimizer,
        double duration) {
  TableSpec spec;
  spec.name = "t";
  spec.dimension = dimension;
  spec.optimizer = {optimizer, {}};
  Client client(spec);
  std::vector<RowId> push(kBatch), fetch(kBatch);
  for (std::size_t i = 0; i < kBatch; ++i) fetch[i] = push[i] = IdOf(i);
  // The exchange's own arrays and buffers belong to no row; reads make none.
  client.Exchange({}, fetch);
  const std::int64_t before = ResidentBytes();

  std::vector<double> filling, growing, settled;
  std::size_t there = 0;
  while (there < rows / 10 * 9) {
    for (RowId& id : push) id = IdOf(there++);
    filling.push_back(client.Exchange(push, {}));
  }
  std::mt19937_64 random(1);
  const auto any = [&] { return IdOf(random() % there); };
  while (there < rows) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      push[i] = i % 10 == 0 ? IdOf(there++) : fetch[i];
    }
    for (RowId& id : fetch) id = any();
    growing.push_back(client.Exchange(push, fetch));
  }
  const std::int64_t after = ResidentBytes();
  double sum = 0;
  while (sum < duration) {
    push = fetch;
    for (RowId& id : fetch) id = any();
    settled.push_back(client.Exchange(push, fetch));
    sum += settled.back();
  }
  std::printf("{\"rows\": %zu, \"bytes\": %lld, \"batch\": %zu, ", there,
              static_cast<long long>(after - before), kBatch);
  Print("filling", std::move(filling));
  std::printf(", ");
  Print("growing", std::move(growing));
  std::printf(", ");
  Print("settled", std::move(settled));
  std::printf("}\n");
  return 0;
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) {
  if (argc != 5 || std::atoll(argv[1]) < 100000 || std::atoll(argv[2]) < 1) {
    std::cerr << "usage: " << argv[0]
              << " ROWS DIMENSION OPTIMIZER SECONDS (at least 100000 rows)\n";
    return 2;
  }
  return het::Run(static_cast<std::size_t>(std::atoll(argv[1])),
                  static_cast<std::size_t>(std::atoll(argv[2])), argv[3],
                  std::atof(argv[4]));
}
