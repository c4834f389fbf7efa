// The invariants of docs/consistency.md over random interleavings: two workers'
// caches over shared shards, exchanges that are delivered, overtaken, lost and
// repeated by a seed, over policies, capacities, stalenesses and numbers of
// shards. Every run is repeated exactly by the configuration and seed that a
// failure prints.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <random>

#include "kernels/testing/simulation.h"

namespace het {
namespace {

constexpr Staleness kInfinity = kUnboundedStaleness;

struct Configuration {
  std::string policy = "lru";
  std::int64_t capacity = 1;
  Staleness staleness = 1;
  std::size_t shards = 2;
  std::size_t batch = 2;      // ids of a step
  std::size_t vocabulary = 6;
  bool overlapping = false;   // several operations of a worker at once
  bool faults = false;
  int ahead = 0;              // steps that are prefetched; 0: none
  std::uint64_t seed = 0;

  std::string Text() const {
    return internal::StreamToString(
        "policy=", policy, " capacity=", capacity, " s=",
        staleness == kInfinity ? "infinity" : std::to_string(staleness),
        " shards=", shards, " batch=", batch, " vocabulary=", vocabulary,
        overlapping ? " overlapping" : "", faults ? " faults" : "",
        " ahead=", ahead,
        " seed=", seed);
  }
};

// Ids that no float or double could carry.
RowId IdOf(std::size_t k) {
  const std::array<RowId, 5> bases = {
      (RowId{1} << 53) + 1, -(RowId{1} << 24) - 1,
      std::numeric_limits<RowId>::min(), std::numeric_limits<RowId>::max() - 90,
      0};
  return bases[k % bases.size()] + static_cast<RowId>(k / bases.size());
}

// One run; what it broke, with the configuration.
std::vector<Violation> Run(const Configuration& with, std::int64_t* checks,
                           std::int64_t* prefetched) {
  SimulationOptions options;
  options.shards = with.shards;
  options.cache.policy = with.policy;
  options.cache.capacity = with.capacity;
  options.cache.staleness = with.staleness;
  options.cache.max_pending_commits = with.seed % 3 == 0 ? 3 : 0;
  // One row in an exchange, now and then.
  if (with.seed % 5 == 0) options.cache.max_exchange_bytes = 1;
  // Or several pieces of one, with a row each.
  if (with.seed % 4 == 1) options.piece_bytes = 1;
  Simulation simulation(options);
  std::mt19937_64 random(with.seed);
  const auto draw = [&](std::size_t below) {
    return static_cast<std::size_t>(random() % below);
  };
  const auto batch = [&] {
    std::vector<RowId> ids(1 + draw(with.batch));
    // Skewed, with duplicates.
    for (RowId& id : ids) id = IdOf(draw(1 + draw(with.vocabulary)));
    return ids;
  };
  const auto update = [&](std::size_t w, const std::vector<RowId>& ids) {
    std::vector<int> values(ids.size());
    for (int& value : values) value = static_cast<int>(draw(33)) - 16;
    simulation.Update(w, ids, values, draw(2) == 0 ? 1.0f : 0.5f);
  };
  std::array<std::vector<RowId>, 2> looked_up;
  std::array<std::deque<std::vector<RowId>>, 2> coming;
  const auto start = [&](std::size_t w) {
    const std::size_t kind = draw(20);
    if (!looked_up[w].empty() && kind < 10) {
      update(w, looked_up[w]);
      looked_up[w].clear();
    } else if (kind == 19) {
      simulation.Flush(w);
    } else if (kind == 18) {
      update(w, batch());  // of rows that need not be resident
    } else if (kind == 17) {
      simulation.Lookup(w, batch(), ReadMode::kFresh);
    } else if (kind == 16) {
      simulation.Lookup(w, batch(), ReadMode::kInference);
    } else if (coming[w].size() < static_cast<std::size_t>(with.ahead) + 1 &&
               with.ahead > 0 && draw(3) > 0) {
      coming[w].push_back(batch());
      simulation.Prefetch(w, coming[w].back(), with.ahead);
    } else if (!coming[w].empty() && draw(8) > 0) {
      looked_up[w] = coming[w].front();
      coming[w].pop_front();
      simulation.Lookup(w, looked_up[w]);
    } else {
      looked_up[w] = batch();
      simulation.Lookup(w, looked_up[w]);
    }
  };
  constexpr int kOperations = 50;
  for (int started = 0; started < kOperations;) {
    const std::size_t w = draw(2);
    const int most = with.overlapping ? 3 : 1;
    if (draw(3) == 0 && simulation.busy(w) < most) {
      start(w);
      ++started;
      continue;
    }
    const auto events = simulation.Possible(with.faults && draw(4) == 0);
    if (!events.empty()) simulation.Happen(events[draw(events.size())]);
  }
  simulation.FinishAndCheck();
  std::vector<Violation> broken = simulation.oracle().violations();
  for (const std::string& error : simulation.errors()) {
    broken.push_back({3, error});
  }
  for (const auto& copy : simulation.oracle().TakeValidations()) {
    ++*checks;
    // With 1 and 2: any two copies valid against one c_g are within 2s.
    if (copy.current > copy.global && with.staleness != kInfinity &&
        copy.current - copy.global > with.staleness) {
      broken.push_back({6, internal::StreamToString(
                               "row ", copy.id, " c_c=", copy.current,
                               " is more than s ahead of c_g=", copy.global)});
    }
  }
  *checks += simulation.oracle().checks();
  *prefetched += simulation.prefetched();
  for (Violation& violation : broken) {
    violation.text += "  [" + with.Text() + "]";
  }
  return broken;
}

// All configurations, once; the tests below look at one invariant each.
struct Sweep {
  std::vector<Violation> violations;
  std::int64_t runs = 0;
  std::int64_t checks = 0;
  std::int64_t prefetched = 0;  // lookups
};

const Sweep& TheSweep() {
  static const Sweep* const sweep = [] {
    auto* all = new Sweep;
    std::uint64_t seed = 1;
    for (const char* policy : {"lru", "lfu", "light_lfu"}) {
      for (const std::int64_t capacity : {0, 1, 3, 1000}) {
        for (const Staleness s : {Staleness{0}, Staleness{1}, Staleness{5},
                                  Staleness{100}, kInfinity}) {
          for (const std::size_t shards : {1, 2, 3, 7}) {
            for (int variant = 0; variant < 8; ++variant) {
              Configuration with;
              with.policy = policy;
              with.capacity = capacity;
              with.staleness = s;
              with.shards = shards;
              with.batch = variant % 2 == 0 ? 1 : 2;
              with.vocabulary = variant < 4 ? 3 : 12;
              with.overlapping = variant % 4 >= 2;
              with.faults = variant % 3 != 0;
              with.seed = seed++;
              for (Violation& v : Run(with, &all->checks, &all->prefetched)) {
                all->violations.push_back(std::move(v));
              }
              ++all->runs;
              if (s == 0) continue;
              with.ahead = 1 + static_cast<int>(seed % 3);
              with.seed = seed++;
              for (Violation& v : Run(with, &all->checks, &all->prefetched)) {
                all->violations.push_back(std::move(v));
              }
              ++all->runs;
            }
          }
        }
      }
    }
    return all;
  }();
  return *sweep;
}

void ExpectHeld(int invariant) {
  int shown = 0;
  for (const Violation& violation : TheSweep().violations) {
    if (violation.invariant == invariant && ++shown <= 5) {
      ADD_FAILURE() << "invariant " << invariant << ": " << violation.text;
    }
  }
  EXPECT_EQ(TheSweep().runs, 1920 + 1536);
  EXPECT_GT(TheSweep().prefetched, 5000);
  EXPECT_GT(TheSweep().checks, 100000);
}

TEST(RandomInterleavings, ClocksAndRepliesAreWhatTheContractSays) {
  ExpectHeld(0);
}
TEST(RandomInterleavings, Invariant1WriteStaleness) { ExpectHeld(1); }
TEST(RandomInterleavings, Invariant2ReadStaleness) { ExpectHeld(2); }
TEST(RandomInterleavings, Invariant3Conservation) { ExpectHeld(3); }
TEST(RandomInterleavings, Invariant4ReadYourWrites) { ExpectHeld(4); }
TEST(RandomInterleavings, Invariant6ValidCopiesAreWithinSOfTheRow) {
  ExpectHeld(6);
}

// --- Lock-step workers. -----------------------------------------------------

// Both look up, then both commit, as a barrier per step makes them; `ahead`
// steps before, the lookup has been asked for. Exchanges of one phase are
// delivered in random order.
void LockStep(Staleness s, int ahead, std::size_t shards, std::uint64_t seed) {
  SCOPED_TRACE(internal::StreamToString("s=", s, " ahead=", ahead, " shards=",
                                        shards, " seed=", seed));
  SimulationOptions options;
  options.shards = shards;
  options.cache.capacity = 1000;
  options.cache.staleness = s;
  if (seed % 2 == 0) options.piece_bytes = 1;
  Simulation simulation(options);
  std::mt19937_64 random(seed);
  const auto settle = [&] {
    while (true) {
      const auto events = simulation.Possible(false);
      if (events.empty()) return;
      simulation.Happen(events[random() % events.size()]);
    }
  };
  constexpr int kSteps = 150;
  std::deque<std::array<std::vector<RowId>, 2>> coming;
  for (int step = -ahead; step < kSteps; ++step) {
    // Row 0 is used by both in every step, the others now and then.
    coming.emplace_back();
    for (std::size_t w = 0; w < 2; ++w) {
      coming.back()[w] = {0, static_cast<RowId>(random() % 4)};
      if (ahead > 0) simulation.Prefetch(w, coming.back()[w], ahead);
    }
    if (step < 0) {
      settle();
      continue;
    }
    const std::array<std::vector<RowId>, 2> ids = std::move(coming.front());
    coming.pop_front();
    for (std::size_t w = 0; w < 2; ++w) simulation.Lookup(w, ids[w]);
    settle();
    std::map<std::pair<RowId, Clock>, std::vector<Clock>> valid;
    for (const auto& copy : simulation.oracle().TakeValidations()) {
      valid[{copy.id, copy.global}].push_back(copy.current);
    }
    for (const auto& [row, clocks] : valid) {
      const auto [least, most] =
          std::minmax_element(clocks.begin(), clocks.end());
      ASSERT_LE(*most - *least, 2 * s) << "step " << step << " row "
                                       << row.first;
    }
    for (std::size_t w = 0; w < 2; ++w) {
      for (const RowId id : ids[w]) {
        const std::vector<float>& row = simulation.last_read(w, id);
        ASSERT_EQ(row[w], simulation.commits(w, id));
        const std::size_t other = 1 - w;
        const float lacks =
            static_cast<float>(simulation.commits(other, id)) - row[other];
        ASSERT_GE(lacks, 0);
        if (id != 0 && s != 0) continue;
        ASSERT_LE(lacks, s == 0 ? 0 : 2 * s + 1 + ahead)
            << "step " << step << ": worker " << w << " reads row " << id;
      }
    }
    for (std::size_t w = 0; w < 2; ++w) {
      simulation.Update(w, ids[w], std::vector<int>(ids[w].size(), 1));
    }
    settle();
  }
  EXPECT_EQ(simulation.prefetched(), ahead > 0 ? 2 * kSteps : 0);
  simulation.FinishAndCheck();
  EXPECT_TRUE(simulation.errors().empty()) << simulation.errors().front();
  for (const Violation& v : simulation.oracle().violations()) {
    ADD_FAILURE() << v.text;
  }
}

TEST(LockStepWorkers, Invariant6CopiesValidAgainstOneClockAreWithin2S) {
  for (const Staleness s : {0, 1, 2, 5, 20}) {
    for (const std::size_t shards : {1, 2, 3}) {
      for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        LockStep(s, 0, shards, seed);
      }
    }
  }
}

TEST(LockStepWorkers, RowsAskedForAheadLackNoMoreThanTheStepsBetween) {
  for (const Staleness s : {1, 2, 5, 20}) {
    for (const int ahead : {1, 2, 4}) {
      for (const std::size_t shards : {1, 2}) {
        LockStep(s, ahead, shards, 7 + static_cast<std::uint64_t>(s));
      }
    }
  }
}

}  // namespace
}  // namespace het
