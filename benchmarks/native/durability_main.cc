// What it costs one shard to be durable: exchanges with and without a log of pushes
// and while a checkpoint is written, the memory that takes, and the time in which a
// shard that ended comes back.
//
//   durability_main DIRECTORY ROWS DIMENSION BIG_ROWS ROUNDS SECONDS
//
// Exchanges go to the Shard in this process: no wire, one worker, 4096 ids pushed
// and 4096 fetched each, all of them there and drawn uniformly. Three shards of
// ROWS rows (no log, a log in the page cache, a synced log) have ROUNDS turns of
// SECONDS each, one after the other; a shard of BIG_ROWS rows has turns without and
// with a checkpoint under way. Files go to DIRECTORY, which the caller makes and
// removes. Prints one JSON object; seconds are of one exchange, turn by turn.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/hash.h"
#include "kernels/shard/shard.h"

namespace het {
namespace {

constexpr std::size_t kBatch = 4096;
using Seconds = std::chrono::duration<double>;
using SteadyClock = std::chrono::steady_clock;

std::int64_t ResidentBytes() {
  std::int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

void OrFail(const Status& status) {
  if (status.ok()) return;
  std::cerr << status.ToString() << "\n";
  std::exit(1);
}

RowId IdOf(std::size_t row) { return static_cast<RowId>(Mix64(row + 1)); }

class Client {
 public:
  Client(const Shard::Options& options, std::size_t dimension)
      : options_(options),
        clocks_(kBatch, 1),
        rates_(kBatch, 0.01f),
        gradients_(kBatch * dimension, 1e-3f),
        push_(kBatch),
        fetch_(kBatch) {
    spec_.name = "t";
    spec_.dimension = dimension;
    spec_.optimizer = {"sgd", {}};
    Open();
    OrFail(shard_->CreateTable(spec_));
  }

  // Seconds until the shard is there, again.
  double Open() {
    shard_.reset();
    const auto begin = SteadyClock::now();
    auto opened = Shard::Open(options_);
    OrFail(opened.status());
    shard_ = std::move(opened).Take();
    return Seconds(SteadyClock::now() - begin).count();
  }

  void Fill(std::size_t rows) {
    for (rows_ = 0; rows_ < rows;) {
      for (RowId& id : push_) id = IdOf(rows_++);
      Exchange(push_, {});
    }
  }
  // Of one exchange, the median over a turn, of at least one.
  double Turn(double duration) {
    std::vector<double> seconds;
    double sum = 0;
    do {
      for (RowId& id : fetch_) id = IdOf(random_() % rows_);
      seconds.push_back(Exchange(push_, fetch_));
      std::swap(push_, fetch_);
      sum += seconds.back();
    } while (sum < duration);
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }
  double OneExchange() { return Turn(0.0); }

  Shard& shard() { return *shard_; }

 private:
  double Exchange(const std::vector<RowId>& push,
                  const std::vector<RowId>& fetch) {
    ExchangeRequest request;
    request.header = {1, shard_->incarnation(), ++sequence_};
    TableExchange exchange;
    exchange.table = spec_.id();
    exchange.push_ids = push;
    exchange.push_clocks = {clocks_.data(), push.size()};
    exchange.push_learning_rates = {rates_.data(), push.size()};
    exchange.push_gradients = {gradients_.data(),
                               push.size() * spec_.dimension};
    exchange.fetch_ids = fetch;
    request.tables.push_back(exchange);
    const auto begin = SteadyClock::now();
    auto reply = ExchangeAndWait(*shard_, request);
    const auto end = SteadyClock::now();
    OrFail(reply.status());
    return Seconds(end - begin).count();
  }

  const Shard::Options options_;
  TableSpec spec_;
  const std::vector<Clock> clocks_;
  const std::vector<float> rates_;
  const std::vector<float> gradients_;
  std::vector<RowId> push_, fetch_;
  std::mt19937_64 random_{1};
  std::size_t rows_ = 0;
  std::uint64_t sequence_ = 0;
  std::shared_ptr<Shard> shard_;
};

class Checkpoints {
 public:
  explicit Checkpoints(const std::string& directory) {
    request_.place.directory = directory;
    request_.place.mark = "benchmark";
    std::ofstream(directory + "/het_tf.mark") << request_.place.mark << "\n";
  }
  void Begin(Shard& shard) {
    request_.name = "c" + std::to_string(++request_.call);
    OrFail(shard.Snapshot(request_).status());
  }
  CheckpointProgress Progress(Shard& shard) {
    const auto progress = shard.Snapshot(request_);
    OrFail(progress.status());
    return *progress;
  }

 private:
  SnapshotRequest request_;
};

void Print(const char* name, const std::vector<double>& numbers) {
  std::printf("\"%s\": [", name);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    std::printf("%s%.9g", i == 0 ? "" : ", ", numbers[i]);
  }
  std::printf("], ");
}

int Run(const std::string& directory, std::size_t rows, std::size_t dimension,
        std::size_t big_rows, int rounds, double duration) {
  Shard::Options log, synced;
  log.log_directory = directory + "/log";
  synced.log_directory = directory + "/synced";
  synced.durability = Durability::kSynced;
  Checkpoints checkpoints(directory);
  {
    Client without({}, dimension), with_log(log, dimension),
        with_synced(synced, dimension);
    for (Client* client : {&without, &with_log, &with_synced}) {
      client->Fill(rows);
    }
    const double from_log = with_log.Open();
    std::vector<double> seconds[3];
    for (int round = 0; round < rounds; ++round) {
      seconds[0].push_back(without.Turn(duration));
      seconds[1].push_back(with_log.Turn(duration));
      seconds[2].push_back(with_synced.Turn(duration));
    }
    checkpoints.Begin(with_log.shard());
    while (!checkpoints.Progress(with_log.shard()).done) usleep(1000);
    with_log.Turn(duration);
    std::printf("{");
    Print("none", seconds[0]);
    Print("log", seconds[1]);
    Print("synced", seconds[2]);
    std::printf("\"recovery_from_log\": %.6f, ", from_log);
    std::printf("\"recovery_from_checkpoint\": %.6f, ", with_log.Open());
  }
  Client big({}, dimension);
  big.Fill(big_rows);
  std::vector<double> idle, busy, takes;
  std::int64_t extra = 0, bytes = 0;
  for (int round = 0; round < rounds; ++round) {
    idle.push_back(big.Turn(duration));
    const std::int64_t before = ResidentBytes();
    const auto begin = SteadyClock::now();
    checkpoints.Begin(big.shard());
    std::vector<double> seconds;
    CheckpointProgress progress;
    while (!(progress = checkpoints.Progress(big.shard())).done) {
      seconds.push_back(big.OneExchange());
      extra = std::max(extra, ResidentBytes() - before);
    }
    takes.push_back(Seconds(SteadyClock::now() - begin).count());
    bytes = progress.bytes;
    std::sort(seconds.begin(), seconds.end());
    busy.push_back(seconds[seconds.size() / 2]);
  }
  Print("idle", idle);
  Print("busy", busy);
  Print("checkpoint", takes);
  const auto stats = big.shard().Stats();
  OrFail(stats.status());
  std::printf(
      "\"checkpoint_bytes\": %lld, \"table_bytes\": %lld, "
      "\"extra_bytes\": %lld, \"batch\": %zu}\n",
      static_cast<long long>(bytes),
      static_cast<long long>(stats->front().tables[0].memory_bytes),
      static_cast<long long>(extra), kBatch);
  return 0;
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) {
  if (argc != 7) {
    std::cerr << "usage: " << argv[0]
              << " DIRECTORY ROWS DIMENSION BIG_ROWS ROUNDS SECONDS\n";
    return 2;
  }
  const auto number = [&](int i) {
    return static_cast<std::size_t>(std::atoll(argv[i]));
  };
  return het::Run(argv[1], number(2), number(3), number(4),
                  static_cast<int>(number(5)), std::atof(argv[6]));
}
