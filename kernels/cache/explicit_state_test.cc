// A small explicit-state check over the real classes: two workers with a cache
// of one row each, two shards, two ids. Every order in which the operations of
// the workers, the exchanges and their answers can happen is tried, with a
// bounded number of lost requests, lost answers and answers given up on. The
// oracle looks at every state; at every end the gradients must be conserved.
//
// States are reached by replaying choices from the start. Schedules that differ
// only in the order of events that do not touch each other are one state
// (Simulation::Key), so the search is exhaustive and yet small.

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <unordered_set>

#include "kernels/store/router.h"
#include "kernels/testing/simulation.h"

namespace het {
namespace {

// What a worker does, one after the other: l/u look up and update the row of
// shard 0, L/U that of shard 1, b/B both; p/P/q ask for them one step ahead; f
// flushes, r reads row 0 fresh.
struct Scenario {
  std::vector<std::string> programs;
  Staleness staleness = 0;
  int faults = 0;
  bool overlapping = false;  // an operation may start before the last ended
  std::int64_t capacity = 1;
  std::int64_t max_pending_commits = 0;
};

RowId IdOnShard(std::size_t shard) {
  RowId id = 0;
  while (Router(2).ShardOf(id) != shard) ++id;
  return id;
}

class Schedule {
 public:
  explicit Schedule(const Scenario& scenario)
      : scenario_(scenario),
        simulation_(Options(scenario)),
        next_(scenario.programs.size()) {}

  // Choices in this state: operations to start, then events.
  std::size_t choices() {
    starts_.clear();
    for (std::size_t w = 0; w < next_.size(); ++w) {
      const bool free = scenario_.overlapping || simulation_.busy(w) == 0;
      if (next_[w] < scenario_.programs[w].size() && free) starts_.push_back(w);
    }
    events_ = simulation_.Possible(faults_ < scenario_.faults);
    return starts_.size() + events_.size();
  }

  void Take(std::size_t choice) {
    if (choice < starts_.size()) {
      const std::size_t w = starts_[choice];
      Start(w, scenario_.programs[w][next_[w]++]);
      return;
    }
    const Simulation::Event event = events_[choice - starts_.size()];
    if (!event.timer && SimulatedNetwork::IsFault(event.network)) ++faults_;
    simulation_.Happen(event);
  }

  Simulation& simulation() { return simulation_; }

 private:
  static SimulationOptions Options(const Scenario& scenario) {
    SimulationOptions options;
    options.cache.capacity = scenario.capacity;
    options.cache.policy = "lru";
    options.cache.staleness = scenario.staleness;
    options.cache.max_pending_commits = scenario.max_pending_commits;
    return options;
  }

  void Start(std::size_t w, char operation) {
    static const RowId a = IdOnShard(0), b = IdOnShard(1);
    switch (operation) {
      case 'l': return simulation_.Lookup(w, {a});
      case 'L': return simulation_.Lookup(w, {b});
      case 'b': return simulation_.Lookup(w, {a, b});
      case 'u': return simulation_.Update(w, {a}, {++value_});
      case 'U': return simulation_.Update(w, {b}, {++value_});
      case 'B': return simulation_.Update(w, {a, b}, {++value_, ++value_});
      case 'p': return simulation_.Prefetch(w, {a}, 1);
      case 'P': return simulation_.Prefetch(w, {b}, 1);
      case 'q': return simulation_.Prefetch(w, {a, b}, 1);
      case 'f': return simulation_.Flush(w);
      case 'r': return simulation_.Lookup(w, {a}, ReadMode::kFresh);
      default: FAIL() << "no operation " << operation;
    }
  }

  const Scenario scenario_;
  Simulation simulation_;
  std::vector<std::size_t> next_;
  std::vector<std::size_t> starts_;
  std::vector<Simulation::Event> events_;
  int faults_ = 0;
  int value_ = 0;
};

struct Explored {
  std::size_t states = 0;
  std::size_t ends = 0;
};

// Whether the state is sound; `choices` lead to it.
testing::AssertionResult Sound(Simulation& simulation,
                               const std::vector<std::uint8_t>& choices) {
  std::string wrong;
  for (const Violation& violation : simulation.oracle().violations()) {
    wrong += internal::StreamToString("invariant ", violation.invariant, ": ",
                                      violation.text, "\n");
  }
  for (const std::string& error : simulation.errors()) wrong += error + "\n";
  if (wrong.empty()) return testing::AssertionSuccess();
  for (const std::uint8_t choice : choices) {
    wrong += std::to_string(choice) + " ";
  }
  return testing::AssertionFailure() << wrong;
}

// Under a sanitizer, which looks for other errors, the first states will do.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStatesLookedAt = 2000;
#else
constexpr std::size_t kStatesLookedAt = std::numeric_limits<std::size_t>::max();
#endif

Explored Explore(const Scenario& scenario, std::size_t most_states) {
  using Choices = std::vector<std::uint8_t>;
  Explored explored;
  std::unordered_set<std::uint64_t> seen;
  std::vector<Choices> open = {{}};
  while (!open.empty() && explored.states < kStatesLookedAt) {
    Choices choices = std::move(open.back());
    open.pop_back();
    Schedule schedule(scenario);
    for (const std::uint8_t choice : choices) {
      schedule.choices();
      schedule.Take(choice);
    }
    while (seen.insert(schedule.simulation().Key()).second) {
      ++explored.states;
      if (explored.states > most_states) {
        ADD_FAILURE() << "more than " << most_states << " states";
        return explored;
      }
      const std::size_t count = schedule.choices();
      if (count == 0) {
        ++explored.ends;
        const bool ended = schedule.simulation().idle();
        EXPECT_TRUE(ended) << "an operation waits for ever";
        schedule.simulation().FinishAndCheck();
        const auto sound = Sound(schedule.simulation(), choices);
        EXPECT_TRUE(sound) << sound.message();
        if (!sound || !ended) return explored;
        break;
      }
      for (std::size_t other = 1; other < count; ++other) {
        open.push_back(choices);
        open.back().push_back(static_cast<std::uint8_t>(other));
      }
      schedule.Take(0);
      choices.push_back(0);
      const auto sound = Sound(schedule.simulation(), choices);
      EXPECT_TRUE(sound) << sound.message();
      if (!sound) return explored;
    }
  }
  return explored;
}

void ExploreAll(std::vector<Scenario> scenarios) {
  Explored all;
  for (Scenario& scenario : scenarios) {
    const bool ahead =
        scenario.programs[0].find_first_of("pPq") != std::string::npos;
    for (const Staleness s : {0, 1, 2}) {
      if (ahead && s == 0) continue;
      scenario.staleness = s;
      SCOPED_TRACE(internal::StreamToString(
          "programs ", scenario.programs[0], " and ", scenario.programs[1],
          ", s=", s, ", faults=", scenario.faults));
      const Explored explored = Explore(scenario, 60000);
      EXPECT_GT(explored.ends, 1u);
      all.states += explored.states;
      all.ends += explored.ends;
    }
  }
  testing::Test::RecordProperty("states", static_cast<int>(all.states));
  std::printf("  %zu states, %zu ends\n", all.states, all.ends);
}

TEST(ExplicitState, TwoWorkersOnOneRow) {
  ExploreAll({{{"lulul", "lulul"}}, {{"lulufl", "lulu"}},
              {{"luluf", "lll"}}});
}

TEST(ExplicitState, EvictionBetweenTwoRows) {
  ExploreAll({{{"luLUlu", "lu"}}, {{"luLUl", "LUl"}}, {{"bBlu", "lul"}}});
}

TEST(ExplicitState, LostRequestsAndAnswersAreRepeated) {
  ExploreAll({{{"lul", "lu"}, 0, 1}, {{"luL", "LU"}, 0, 1},
              {{"lu", "l"}, 0, 2}, {{"bB", "u"}, 0, 1}});
}

TEST(ExplicitState, OverlappingOperationsOfOneWorker) {
  ExploreAll({{{"lulu", "lu"}, 0, 0, true},
              {{"luLl", "u"}, 0, 0, true},
              {{"llur", "u"}, 0, 0, true},
              {{"lufl", "u"}, 0, 0, true},
              {{"lulul", ""}, 0, 0, true}});
}

TEST(ExplicitState, PrefetchesOfComingLookups) {
  ExploreAll({{{"plpulu", "lu"}},
              {{"pPluLU", "bB"}},
              {{"qppll", "u"}},
              {{"puUl", "u"}},
              {{"pluplu", "u"}, 0, 0, true},
              {{"pl", "lu"}, 0, 1},
              {{"pPlu", "u"}, 0, 0, false, 0}});
}

TEST(ExplicitState, WithoutACacheAndWithIdlePushes) {
  ExploreAll({{{"lulu", "lul"}, 0, 0, false, 0},
              {{"luLLL", "lul"}, 0, 0, false, 2, 1}});
}

}  // namespace
}  // namespace het
