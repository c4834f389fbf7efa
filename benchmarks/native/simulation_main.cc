// simulation: what caches exchange with shards, counted by the codec.
//
//   simulation --workers 8 --shards 2 --steps 400 --warm 200 --dimension 128
//       --rows 5000 | --share 0.1 [--policy lfu] [--staleness 100|inf]
//       [--formats float32,bfloat16,int8] [--trained 1]
//
// Reads STEPS x WORKERS batches from its input, each an int64 count and so many
// int64 ids, and steps with them as they come. With --share the capacity of a
// cache is a share of the distinct ids of all batches, which are then read first.
// The first WARM steps do not count. Prints one JSON object (Print).

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "benchmarks/native/simulation.h"

namespace het {
namespace {

using Batches = std::vector<std::vector<RowId>>;  // of one step, by worker

struct Options {
  SimulationOptions simulation;
  std::size_t steps = 0;
  std::size_t warm = 0;
  double share = -1;  // negative: none was given
};

Result<std::vector<WireFormat>> ParseFormats(const std::string& names) {
  std::vector<WireFormat> formats;
  std::istringstream each(names);
  for (std::string name; std::getline(each, name, ',');) {
    const Result<WireFormat> format = ParseWireFormat(name);
    HET_RETURN_IF_ERROR(format.status());
    formats.push_back(*format);
  }
  return formats;
}

// "--name value" for each of them.
Result<Options> Parse(int argc, char** argv) {
  Options options;
  SimulationOptions& simulation = options.simulation;
  const auto number = [](const std::string& text) {
    char* end = nullptr;
    const long long value = std::strtoll(text.c_str(), &end, 10);
    return *end == 0 && !text.empty() && value >= 0
               ? Result<std::size_t>(static_cast<std::size_t>(value))
               : InvalidArgument("'", text, "', expected a whole number from 0");
  };
  const std::map<std::string, std::size_t*> numbers = {
      {"--workers", &simulation.workers},
      {"--shards", &simulation.shards},
      {"--dimension", &simulation.dimension},
      {"--steps", &options.steps},
      {"--warm", &options.warm}};
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return InvalidArgument(name, " lacks its value");
    const std::string value = argv[i + 1];
    if (name == "--policy") {
      simulation.cache.policy = value;
    } else if (name == "--formats") {
      Result<std::vector<WireFormat>> formats = ParseFormats(value);
      HET_RETURN_IF_ERROR(formats.status());
      simulation.formats = std::move(formats).Take();
    } else if (name == "--share") {
      char* end = nullptr;
      options.share = std::strtod(value.c_str(), &end);
      if (*end != 0 || value.empty() || !(options.share >= 0) ||
          !(options.share <= 1)) {
        return InvalidArgument("--share is '", value,
                               "', expected a number from 0 to 1");
      }
    } else if (name == "--staleness" && value == "inf") {
      simulation.cache.staleness = kUnboundedStaleness;
    } else {
      const Result<std::size_t> given = number(value);
      HET_RETURN_IF_ERROR(given.status().WithContext(name));
      const auto found = numbers.find(name);
      if (found != numbers.end()) {
        *found->second = *given;
      } else if (name == "--rows") {
        simulation.cache.capacity = static_cast<std::int64_t>(*given);
      } else if (name == "--staleness") {
        simulation.cache.staleness = static_cast<Staleness>(*given);
      } else if (name == "--trained") {
        simulation.trained = *given != 0;
      } else {
        return InvalidArgument("unknown option ", name);
      }
    }
  }
  if (options.warm >= options.steps) {
    return InvalidArgument(options.warm, " of ", options.steps,
                           " steps do not count: nothing is left to count");
  }
  return options;
}

// The batches of step `step`.
Status Read(std::size_t step, Batches* batches) {
  for (std::size_t w = 0; w < batches->size(); ++w) {
    std::vector<RowId>& batch = (*batches)[w];
    const auto read = [](std::int64_t* to, std::size_t count) {
      return static_cast<bool>(
          std::cin.read(reinterpret_cast<char*>(to),
                        static_cast<std::streamsize>(count * sizeof *to)));
    };
    std::int64_t count = 0;
    bool complete = read(&count, 1);
    if (complete) {
      if (count < 0) return InvalidArgument("a batch of ", count, " ids");
      batch.resize(static_cast<std::size_t>(count));
      complete = read(batch.data(), batch.size());
    }
    if (!complete) {
      return InvalidArgument("the ids end within the batch of step ", step,
                             ", worker ", w, ", both from 0: every step has ",
                             batches->size());
    }
  }
  return OkStatus();
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::int64_t PeakResidentBytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

struct Found {
  SimulationCounts counts;
  std::int64_t capacity = 0;
  std::int64_t rows = 0;
  double cpu_seconds = 0;
};

void PrintBytes(const char* name, const TrafficBytes& bytes, double per) {
  const auto kind = [&](const char* of, std::int64_t value) {
    std::cout << '"' << of << "\": " << static_cast<double>(value) * per;
  };
  std::cout << '"' << name << "\": {";
  kind("ids", bytes.ids);
  std::cout << ", ";
  kind("clocks", bytes.clocks);
  std::cout << ", ";
  kind("rows", bytes.rows);
  std::cout << ", ";
  kind("gradients", bytes.gradients);
  std::cout << ", ";
  kind("framing", bytes.framing);
  std::cout << "}";
}

// Means: what is a worker's, per worker and step; a shard's and links', per step.
void Print(const Options& options, const Found& found) {
  const SimulationCounts& counts = found.counts;
  const double per_step = 1.0 / static_cast<double>(counts.steps);
  const double per =
      per_step / static_cast<double>(options.simulation.workers);
  const auto field = [](const char* name, double value) {
    std::cout << ", \"" << name << "\": " << value;
  };
  std::cout.precision(15);
  std::cout << "{\"capacity\": " << found.capacity
            << ", \"distinct\": " << found.rows;
  field("ids", static_cast<double>(counts.ids) * per);
  field("unique", static_cast<double>(counts.unique) * per);
  const double unique =
      static_cast<double>(std::max<std::int64_t>(counts.unique, 1));
  field("hit_rate", static_cast<double>(counts.hits) / unique);
  field("miss_rate", static_cast<double>(counts.misses) / unique);
  field("invalid_rate", static_cast<double>(counts.invalid) / unique);
  field("evictions", static_cast<double>(counts.evictions) * per);
  field("messages", static_cast<double>(counts.workers.messages) * per);
  field("rounds", static_cast<double>(counts.rounds) * per_step);
  field("cpu_seconds", found.cpu_seconds);
  field("peak_resident_bytes", static_cast<double>(PeakResidentBytes()));
  std::cout << ", \"shard_messages\": [";
  for (std::size_t s = 0; s < counts.shards.size(); ++s) {
    std::cout << (s == 0 ? "" : ", ")
              << static_cast<double>(counts.shards[s].messages) * per_step;
  }
  std::cout << "], \"formats\": {";
  for (std::size_t f = 0; f < options.simulation.formats.size(); ++f) {
    std::cout << (f == 0 ? "" : ", ") << '"'
              << ToString(options.simulation.formats[f]) << "\": {";
    PrintBytes("sent", counts.workers.sent[f], per);
    std::cout << ", ";
    PrintBytes("received", counts.workers.received[f], per);
    std::cout << ", \"shards\": [";
    for (std::size_t s = 0; s < counts.shards.size(); ++s) {
      std::cout << (s == 0 ? "{" : ", {");
      PrintBytes("received", counts.shards[s].sent[f], per_step);
      std::cout << ", ";
      PrintBytes("sent", counts.shards[s].received[f], per_step);
      std::cout << "}";
    }
    std::cout << "]";
    field("busiest_worker",
          static_cast<double>(counts.busiest_worker[f]) * per_step);
    field("busiest_shard",
          static_cast<double>(counts.busiest_shard[f]) * per_step);
    field("busiest", static_cast<double>(counts.busiest[f]) * per_step);
    std::cout << "}";
  }
  std::cout << "}}" << std::endl;
}

// Sets the capacity to the share of the distinct ids of all batches.
Status ReadAll(Options* options, std::vector<Batches>* steps) {
  std::unordered_set<RowId> distinct;
  for (std::size_t step = 0; step < options->steps; ++step) {
    steps->emplace_back(options->simulation.workers);
    HET_RETURN_IF_ERROR(Read(step, &steps->back()));
    for (const auto& batch : steps->back()) {
      distinct.insert(batch.begin(), batch.end());
    }
  }
  options->simulation.cache.capacity = static_cast<std::int64_t>(
      options->share * static_cast<double>(distinct.size()));
  return OkStatus();
}

Status Run(Options options) {
  std::vector<Batches> read;
  if (options.share >= 0) HET_RETURN_IF_ERROR(ReadAll(&options, &read));
  const auto created = Simulation::Create(options.simulation);
  HET_RETURN_IF_ERROR(created.status());
  Simulation& simulation = **created;
  Batches batches(options.simulation.workers);
  double begin = CpuSeconds();
  for (std::size_t step = 0; step < options.steps; ++step) {
    if (step == options.warm) {
      simulation.Restart();
      begin = CpuSeconds();
    }
    if (read.empty()) {
      HET_RETURN_IF_ERROR(Read(step, &batches));
    } else {
      batches = std::move(read[step]);
    }
    HET_RETURN_IF_ERROR(simulation.Step(batches));
  }
  Found found = {simulation.counts(), options.simulation.cache.capacity, 0,
                 CpuSeconds() - begin};
  const Result<std::int64_t> rows = simulation.Flush();
  HET_RETURN_IF_ERROR(rows.status());
  found.rows = *rows;
  Print(options, found);
  return OkStatus();
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const het::Result<het::Options> options = het::Parse(argc, argv);
  if (!options.ok()) {
    std::cerr << "simulation: " << options.status().ToString() << "\n";
    return 2;
  }
  const het::Status status = het::Run(*options);
  if (!status.ok()) {
    std::cerr << "simulation: " << status.ToString() << "\n";
    return 1;
  }
  return 0;
}
