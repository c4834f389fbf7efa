// limit: the work of a lookup and an SGD update and nothing else, as a bound on
// what a cache can reach: a gather into an output of ids x dimension, and a
// segment sum of the gradients with the update, by as many threads as asked
// for.
//
//   limit IDS BATCHES SIZE DIMENSION VOCABULARY THREADS
//
// IDS is a file of BATCHES x SIZE int64. No id is hashed or looked for: they
// are positions. The inverse index is given too, so sorting it into occurrences
// by row happens before the clock starts. The segment sum is written in two
// orders, row by row (its occurrences are read from all over the gradients) and
// occurrence by occurrence (into a sum per row); the faster one counts. Speaks
// the protocol of peers/coprocess.py.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr float kLearningRate = 0.01f;

struct Batch {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> unique;     // in order of first occurrence
  std::vector<std::uint32_t> inverse;   // of ids
  std::vector<std::uint32_t> begin;     // unique.size() + 1
  std::vector<std::uint32_t> position;  // of the occurrences, row by row
};

Batch MakeBatch(std::vector<std::int64_t> ids, std::size_t vocabulary) {
  Batch batch;
  std::vector<std::int64_t> number(vocabulary, -1);
  for (const std::int64_t id : ids) {
    if (number[id] < 0) {
      number[id] = static_cast<std::int64_t>(batch.unique.size());
      batch.unique.push_back(id);
    }
    batch.inverse.push_back(static_cast<std::uint32_t>(number[id]));
  }
  batch.begin.assign(batch.unique.size() + 1, 0);
  for (const std::uint32_t u : batch.inverse) ++batch.begin[u + 1];
  for (std::size_t u = 0; u < batch.unique.size(); ++u) {
    batch.begin[u + 1] += batch.begin[u];
  }
  std::vector<std::uint32_t> next(batch.begin.begin(), batch.begin.end() - 1);
  batch.position.resize(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    batch.position[next[batch.inverse[i]]++] = static_cast<std::uint32_t>(i);
  }
  batch.ids = std::move(ids);
  return batch;
}

class Work {
 public:
  Work(std::size_t size, std::size_t dimension, std::size_t vocabulary,
       std::size_t threads)
      : size_(size),
        dimension_(dimension),
        threads_(threads),
        table_(vocabulary * dimension, 0.01f),
        output_(size * dimension),
        gradients_(size * dimension, 1e-3f),
        sums_(size * dimension) {}

  // Steps through `batches`, from number `first` on. Every thread gathers its
  // part, then updates the rows that are its own; the others wait in between,
  // as gradients come of the rows.
  void Run(const std::vector<Batch>& batches, std::size_t first,
           std::size_t steps, bool by_row) {
    std::atomic<std::size_t> arrived{0};
    const auto thread = [&](std::size_t t) {
      std::size_t phase = 0;
      const auto meet = [&] {
        ++phase;
        ++arrived;
        while (arrived < phase * threads_) std::this_thread::yield();
      };
      for (std::size_t s = 0; s < steps; ++s) {
        const Batch& batch = batches[(first + s) % batches.size()];
        Gather(batch, t);
        meet();
        by_row ? UpdateByRow(batch, t) : UpdateByOccurrence(batch, t);
        meet();
      }
    };
    std::vector<std::thread> others;
    for (std::size_t t = 1; t < threads_; ++t) others.emplace_back(thread, t);
    thread(0);
    for (std::thread& other : others) other.join();
  }

  float first() const { return output_[0]; }

 private:
  void Gather(const Batch& batch, std::size_t t) {
    const std::size_t end = size_ * (t + 1) / threads_;
    for (std::size_t i = size_ * t / threads_; i < end; ++i) {
      std::memcpy(&output_[i * dimension_], &table_[batch.ids[i] * dimension_],
                  dimension_ * sizeof(float));
    }
  }

  // Rows up to where a t-th of the occurrences is reached.
  std::size_t RowsBefore(const Batch& batch, std::size_t t) const {
    const auto wanted = static_cast<std::uint32_t>(size_ * t / threads_);
    return std::lower_bound(batch.begin.begin(), batch.begin.end() - 1,
                            wanted) -
           batch.begin.begin();
  }

  void UpdateByRow(const Batch& batch, std::size_t t) {
    float* const sum = &sums_[t * dimension_];
    const std::size_t end =
        t + 1 == threads_ ? batch.unique.size() : RowsBefore(batch, t + 1);
    for (std::size_t u = RowsBefore(batch, t); u < end; ++u) {
      std::fill_n(sum, dimension_, 0.0f);
      for (std::size_t k = batch.begin[u]; k < batch.begin[u + 1]; ++k) {
        Add(&gradients_[batch.position[k] * dimension_], sum);
      }
      Apply(sum, &table_[batch.unique[u] * dimension_]);
    }
  }

  void UpdateByOccurrence(const Batch& batch, std::size_t t) {
    const std::size_t rows = batch.unique.size();
    const std::size_t from = rows * t / threads_;
    const std::size_t to = rows * (t + 1) / threads_;
    std::fill(&sums_[from * dimension_], &sums_[to * dimension_], 0.0f);
    for (std::size_t i = 0; i < size_; ++i) {
      const std::size_t u = batch.inverse[i];
      if (u >= from && u < to) {
        Add(&gradients_[i * dimension_], &sums_[u * dimension_]);
      }
    }
    for (std::size_t u = from; u < to; ++u) {
      Apply(&sums_[u * dimension_], &table_[batch.unique[u] * dimension_]);
    }
  }

  void Add(const float* __restrict from, float* __restrict to) const {
    for (std::size_t d = 0; d < dimension_; ++d) to[d] += from[d];
  }
  void Apply(const float* __restrict sum, float* __restrict row) const {
    for (std::size_t d = 0; d < dimension_; ++d)
      row[d] -= kLearningRate * sum[d];
  }

  const std::size_t size_, dimension_, threads_;
  std::vector<float> table_, output_, gradients_, sums_;
};

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::cerr << "usage: limit IDS BATCHES SIZE DIMENSION VOCABULARY THREADS\n";
    return 2;
  }
  const std::size_t batches = std::stoul(argv[2]), size = std::stoul(argv[3]),
                    dimension = std::stoul(argv[4]),
                    vocabulary = std::stoul(argv[5]),
                    threads = std::stoul(argv[6]);
  std::ifstream file(argv[1], std::ios::binary);
  std::vector<Batch> all;
  for (std::size_t b = 0; b < batches; ++b) {
    std::vector<std::int64_t> ids(size);
    file.read(reinterpret_cast<char*>(ids.data()),
              static_cast<std::streamsize>(size * sizeof(std::int64_t)));
    if (!file) {
      std::cerr << argv[1] << " ends in batch " << b << " of " << batches
                << "\n";
      return 1;
    }
    all.push_back(MakeBatch(std::move(ids), vocabulary));
  }
  Work work(size, dimension, vocabulary, threads);
  std::size_t next = 0;
  const auto run = [&](std::size_t steps, bool by_row) {
    const Clock::time_point begin = Clock::now();
    work.Run(all, next, steps, by_row);
    next += steps;
    return Seconds(begin);
  };
  for (const bool by_row : {true, false}) run(batches, by_row);  // warm up
  const bool by_row = run(2 * batches, true) < run(2 * batches, false);
  std::cout << R"({"ready": true, "path": ")"
            << (by_row ? "row by row" : "occurrence by occurrence") << "\"}"
            << std::endl;
  std::string line, word;
  while (std::getline(std::cin, line)) {
    std::size_t steps = 0;
    if (!(std::istringstream(line) >> word >> steps) || word != "steps") {
      std::cerr << "limit: got '" << line << "', expected 'steps N'\n";
      return 1;
    }
    std::cout << R"({"seconds": )" << run(steps, by_row) << R"(, "first": )"
              << work.first() << "}" << std::endl;
  }
  return 0;
}
