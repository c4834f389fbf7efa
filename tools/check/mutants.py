"""The rules of docs/consistency.md, each broken on purpose once or more.

A mutant replaces a text that occurs exactly once in a file; every test that it
names must then fail. See mutations.py, which runs them.
"""

from mutant import Mutant
from security_mutants import SECURITY_MUTANTS

WRITE_CONDITION = "return clocks.current <= SaturatingAdd(clocks.start, staleness);"
READ_CONDITION = "return global <= SaturatingAdd(current, staleness);"

INVARIANTS = "cache/invariants_test"
EXPLICIT = "cache/explicit_state_test"
EQUIVALENCE = "cache/equivalence_test"
CACHE = "cache/embedding_cache_test"
CONTRACT = "shard/shard_contract_test"
SYNCHRONOUS = "cache/synchronous_test"
TABLE = "shard/table_test"
CLOCKS = "consistency/staleness_test"
STORES = "store/stores_contract_test"
PREFETCH = "cache/prefetch_test"
TABLE_SNAPSHOT = "shard/table_snapshot_test"
SHARD_CHECKPOINT = "shard/shard_checkpoint_test"
SHARD_RECOVERY = "shard/shard_recovery_test"
SHARD_LOG_DAMAGE = "shard/shard_log_damage_test"

MUTANTS = (
    Mutant(
        "tick-by-two",
        "a clock ticks once per id and commit",
        "consistency/staleness.h",
        "clocks->current = SaturatingAdd(clocks->current, 1);",
        "clocks->current = SaturatingAdd(clocks->current, 2);",
        ((CLOCKS, "*ATickMovesTheCurrentClockAlone"), (INVARIANTS, "*ClocksAndRepliesAreWhatTheContractSays")),
    ),
    Mutant(
        "reads-create-rows",
        "a row exists from its first push",
        "shard/table_rounds.cc",
        "  const std::uint32_t number = Find(stripe, hash, id);\n",
        "  const std::uint32_t number =\n"
        "      const_cast<Table*>(this)->FindOrCreate(const_cast<Stripe&>(stripe), hash, id);\n",
        ((CONTRACT, "*UnknownRowsAreSaidToBeInitialAndAreNotCreated*"),),
    ),
    Mutant(
        "write-staleness-plus-one",
        "1, 5",
        "consistency/staleness.h",
        WRITE_CONDITION,
        WRITE_CONDITION.replace("staleness)", "SaturatingAdd(staleness, 1))"),
        (
            (INVARIANTS, "*Invariant1*"),
            (EXPLICIT, "*TwoWorkersOnOneRow"),
            (EQUIVALENCE, "*Invariant5StalenessZero*"),
        ),
    ),
    Mutant(
        "a-lookup-joins-a-copy-that-is-used-up",
        "1",
        "cache/cache_core_asking.cc",
        "(mode == ReadMode::kFresh || WillLandUsedUp(entry))",
        "mode == ReadMode::kFresh",
        ((INVARIANTS, "*Invariant1*"), (EXPLICIT, "*Overlapping*")),
    ),
    Mutant(
        "a-push-renews-the-copy",
        "1 (flush renewing c_s)",
        "cache/cache_core.cc",
        "  state.due = false;\n  --counts.pending_rows;",
        "  state.due = false;\n  state.start = state.clocks().current;\n  state.written = 0;\n  --counts.pending_rows;",
        ((INVARIANTS, "*Invariant1*"), (CACHE, "*ARowUsedUp*")),
    ),
    Mutant(
        "read-staleness-plus-one",
        "2",
        "consistency/staleness.h",
        READ_CONDITION,
        READ_CONDITION.replace("staleness)", "SaturatingAdd(staleness, 1))"),
        (
            (INVARIANTS, "*Invariant2*"),
            (EXPLICIT, "*TwoWorkersOnOneRow"),
            (CONTRACT, "*ValidationAnswersExactly*"),
        ),
    ),
    Mutant(
        "evicted-gradients-are-dropped",
        "3",
        "cache/cache_core_rows.cc",
        "  if (state.pending_commits > 0) {\n    OutboxBatch()->Append",
        "  if (state.pending_commits > 1000000) {\n    OutboxBatch()->Append",
        ((INVARIANTS, "*Invariant3*"), (EXPLICIT, "*Eviction*"), (CACHE, "*CapacityBounds*")),
    ),
    Mutant(
        "repeats-are-applied-again",
        "3 (duplicates)",
        "shard/worker_order.cc",
        "turn.run(repeated);",
        "turn.run(false);",
        (
            (INVARIANTS, "*Invariant3*"),
            (EXPLICIT, "*LostRequests*"),
            (STORES, "*Conserved*with*"),
        ),
    ),
    Mutant(
        "a-shard-with-nothing-to-read-loses-its-pushes",
        "3",
        "store/request_split.cc",
        "    take(t, cuts_[t].push, cuts_[t].gradient_bytes, &Part::push);\n",
        "    if (range_of(cuts_[t].validate).size() + range_of(cuts_[t].fetch).size() == 0) continue;\n"
        "    take(t, cuts_[t].push, cuts_[t].gradient_bytes, &Part::push);\n",
        ((INVARIANTS, "*Invariant3*"), (STORES, "*Conserved*two_shards")),
    ),
    Mutant(
        "a-flush-does-not-wait-for-what-is-under-way",
        "3",
        "cache/flush.h",
        "core.JoinAllSent(shared_from_this());",
        "",
        ((INVARIANTS, "*Invariant3*"),),
    ),
    Mutant(
        "a-fetch-forgets-pending-gradients",
        "4",
        "cache/cache_core.cc",
        "values[d] -= step * pending[d];",
        "values[d] -= 0.0f * step * pending[d];",
        ((INVARIANTS, "*Invariant4*"), (EXPLICIT, "*Overlapping*")),
    ),
    Mutant(
        "a-push-overtakes-a-fetch-under-way",
        "4",
        "cache/cache_core.cc",
        "    if (state.flight != 0) {\n      due_[kept++] = entry;",
        "    if (state.flight != 0 && kept > 1000000) {\n      due_[kept++] = entry;",
        ((INVARIANTS, "*Invariant4*"),),
    ),
    Mutant(
        "staleness-zero-does-not-push-at-the-commit",
        "5",
        "cache/update.cc",
        "core.options().staleness > 0 && core.options().capacity > 0",
        "core.options().capacity > 0",
        ((EQUIVALENCE, "*Invariant5Workers*"), (CACHE, "*StalenessZeroPushes*")),
    ),
    Mutant(
        "write-staleness-doubled",
        "6",
        "consistency/staleness.h",
        WRITE_CONDITION,
        WRITE_CONDITION.replace("staleness)", "SaturatingAdd(staleness, staleness))"),
        ((INVARIANTS, "LockStepWorkers.Invariant6*"), (INVARIANTS, "RandomInterleavings.Invariant6*")),
    ),
    Mutant(
        "learning-rates-of-another-row-when-split",
        "7",
        "store/request_split.cc",
        "cut.push_learning_rates = Take(exchange.push_learning_rates, pushed);",
        "cut.push_learning_rates.assign(exchange.push_learning_rates.begin(), exchange.push_learning_rates.end());",
        ((EQUIVALENCE, "*Invariant7*"),),
    ),
    Mutant(
        "pieces-of-an-exchange-read-before-they-push",
        "reads see the pushes they travel with",
        "store/request_split.cc",
        "  for (std::size_t t = 0; t < cuts_.size(); ++t) {\n"
        "    take(t, cuts_[t].push, cuts_[t].gradient_bytes, &Part::push);\n"
        "  }\n"
        "  for (std::size_t t = 0; t < cuts_.size(); ++t) {\n"
        "    take(t, cuts_[t].validate, cuts_[t].row_bytes, &Part::validate);\n"
        "    take(t, cuts_[t].fetch, cuts_[t].row_bytes, &Part::fetch);\n",
        "  for (std::size_t t = 0; t < cuts_.size(); ++t) {\n"
        "    take(t, cuts_[t].validate, cuts_[t].row_bytes, &Part::validate);\n"
        "    take(t, cuts_[t].fetch, cuts_[t].row_bytes, &Part::fetch);\n"
        "  }\n"
        "  for (std::size_t t = 0; t < cuts_.size(); ++t) {\n"
        "    take(t, cuts_[t].push, cuts_[t].gradient_bytes, &Part::push);\n",
        (("store/request_split_test", "*PartsTogether*"), (STORES, "*ReadsSeeThePushes*in_pieces")),
    ),
    Mutant(
        "a-piece-begins-one-row-late",
        "3",
        "store/request_split.cc",
        "left.begin += rows;",
        "left.begin += rows + (rows < left.size() ? 1 : 0);",
        (("store/request_split_test", "*PartsTogether*"), (STORES, "*Conserved*in_pieces")),
    ),
    Mutant(
        "an-exchange-ends-before-its-last-piece-is-answered",
        "3",
        "store/sharded_store.cc",
        "open_ = split_.pieces() + 1;",
        "open_ = split_.pieces();",
        (("store/sharded_store_test", "*AnswersWhenTheLastShardHas*"), ("store/sharded_store_test", "*Pieces*")),
    ),
    Mutant(
        "steps-of-one-row-change-places-when-sorted",
        "order of steps",
        "store/sorted_order.cc",
        "a.key < b.key : a.position < b.position;",
        "a.key < b.key : a.position > b.position;",
        (("store/request_split_test", "*PartsTogether*"), ("store/sorted_order_test", "*StableSort*")),
    ),
    Mutant(
        "a-row-pushed-to-is-called-initial",
        "rows are born with their first push",
        "shard/table_rounds.cc",
        "  Row* row = RowAt(stripe, number);\n  Seen seen",
        "  Row* row = RowAt(stripe, number);\n  if (ClockOf(stripe, row) == 0) return {};\n  Seen seen",
        ((CONTRACT, "*ARowIsBorn*"),),
    ),
    Mutant(
        "a-synchronous-round-is-closed-by-its-own-pushes",
        "one step per round",
        "shard/table_rounds.cc",
        "if (stripe.round.number() < round) Close(stripe);",
        "if (stripe.round.number() <= round) Close(stripe);",
        ((SYNCHRONOUS, "*EveryOptimizer*"), (TABLE, "*ARoundIsOneStep*")),
    ),
    Mutant(
        "a-read-does-not-close-the-rounds-before-it",
        "one step per round",
        "cache/cache_core.cc",
        "  return Round() + 1;",
        "  return Round();",
        ((SYNCHRONOUS, "*ReadersThatDoNotTrain*"),),
    ),
    Mutant(
        "initial-rows-of-another-seed-at-the-worker",
        "rows are born with their first push",
        "cache/embedding_cache.cc",
        "CreateInitializer(table.initializer, table.seed)",
        "CreateInitializer(table.initializer, table.seed + 1)",
        ((CACHE, "*UntouchedRows*"),),
    ),
    Mutant(
        "clocks-are-summed",
        "clock rule (max)",
        "consistency/staleness.h",
        "return global < pushed ? pushed : global;",
        "return SaturatingAdd(global, pushed);",
        (
            (INVARIANTS, "*ClocksAndReplies*"),
            (EXPLICIT, "*TwoWorkersOnOneRow"),
            (CONTRACT, "*NeverASum*"),
        ),
    ),
    Mutant(
        "a-fetch-forgets-pending-ticks",
        "clock rule (c_c after a fetch)",
        "consistency/staleness.h",
        "return {global, SaturatingAdd(global, uncovered)};",
        "return {global, SaturatingAdd(global, uncovered - uncovered)};",
        ((INVARIANTS, "*ClocksAndReplies*:*Invariant3*"),),
    ),
    Mutant(
        "ids-go-through-float",
        "ids are exact",
        "cache/cache_core.cc",
        "flight->fetch_ids.push_back(entries_[entry].id);",
        "flight->fetch_ids.push_back(static_cast<RowId>(\n      static_cast<float>(entries_[entry].id / 2)) * 2);",
        ((INVARIANTS, "*Invariant*"),),
    ),
    Mutant(
        "split-ids-go-through-double",
        "ids are exact",
        "store/request_split.cc",
        "cut.push_ids = Take(exchange.push_ids, pushed);",
        "cut.push_ids = Take(exchange.push_ids, pushed);\n  for (RowId& id : cut.push_ids) {\n"
        "    id = static_cast<RowId>(static_cast<double>(id / 4)) * 4;\n  }",
        ((INVARIANTS, "*Invariant3*"), (STORES, "*IdsOverTheWholeRange*two_shards")),
    ),
    Mutant(
        "another-incarnation-is-served",
        "incarnations",
        "shard/shard.cc",
        "if (header.shard != incarnation_) {",
        "if (header.shard == 0) {",
        ((CONTRACT, "*ARestartedShard*"),),
    ),
    Mutant(
        "a-prefetch-is-used-a-commit-too-late",
        "1, 2 (prefetched)",
        "consistency/staleness.h",
        "return commits <= ahead;",
        "return commits <= ahead + 1;",
        (
            (INVARIANTS, "RandomInterleavings.Invariant2*"),
            (EXPLICIT, "*Prefetches*"),
            (CLOCKS, "*Lookahead*"),
            (PREFETCH, "*MoreCommits*"),
        ),
    ),
    Mutant(
        "a-prefetched-lookup-does-not-wait-for-its-rows",
        "2, 4 (prefetched)",
        "cache/lookup.cc",
        "  core.JoinSent(batch_->last_flight, shared_from_this());\n",
        "",
        (
            (INVARIANTS, "RandomInterleavings.Invariant2*"),
            (EXPLICIT, "*Prefetches*"),
            (PREFETCH, "*WaitsForTheAnswer*"),
        ),
    ),
    Mutant(
        "a-prefetch-that-is-let-go-takes-rows-in-flight-along",
        "3, 4 (prefetched)",
        "cache/cache_core_asking.cc",
        "if (slot == 0) return false;",
        "if (slot < 65535) return false;",
        ((PREFETCH, "*RowsInFlight*"),),
    ),
    Mutant(
        "a-row-that-changes-before-it-is-written-is-not-kept",
        "a checkpoint has the rows of one moment",
        "shard/table_snapshot.cc",
        "    AppendRow(stripe, row, &stripe.kept);\n    kept_->Add(row_bytes_);\n",
        "",
        ((TABLE_SNAPSHOT, "*WhateverIsPushedMeanwhile"),),
    ),
    Mutant(
        "updates-are-applied-in-another-order-than-they-are-logged",
        "the same bits come back",
        "shard/shard.cc",
        "  MutexLock lock(&apply_mutex_);\n",
        "",
        ((SHARD_RECOVERY, "*PushesOfSeveralWorkers*"),),
    ),
    Mutant(
        "an-open-round-is-closed-by-a-restart",
        "one step per round, across restarts",
        "shard/shard_recovery.cc",
        "shard->Head({})",
        "shard->Head(shard->AllTables())",
        ((SHARD_RECOVERY, "*ARoundThatIsOpen*"),),
    ),
    Mutant(
        "an-exchange-goes-on-during-the-cut",
        "a checkpoint has the rows of one moment",
        "shard/shard.cc",
        "  const Gate::Passage inside(&gate_);\n",
        "",
        ((SHARD_CHECKPOINT, "*ACutComesBetweenExchanges"),),
    ),
    Mutant(
        "what-changes-while-a-row-is-written-is-not-in-the-next-increment",
        "increments add up to the whole",
        "shard/snapshot_marks.h",
        "    changed_[word] |= bit;\n    if (word >= to_write_.size()",
        "    if (word < to_write_.size() && (to_write_[word] & bit) != 0) changed_[word] |= 0;\n"
        "    else changed_[word] |= bit;\n    if (word >= to_write_.size()",
        ((TABLE_SNAPSHOT, "*IncrementsAddUpToTheWhole"),),
    ),
    Mutant(
        "a-shard-takes-a-checkpoint-over-before-the-others-have-read-it",
        "a restore is all or nothing",
        "shard/shard_checkpoint.cc",
        "progress->done && request.commit && loaded_",
        "progress->done && loaded_",
        ((SHARD_CHECKPOINT, "*WithoutItsCommit*"),),
    ),
    Mutant(
        "a-shard-that-comes-back-does-not-know-what-it-has-applied",
        "exactly once, across restarts",
        "shard/shard_recovery.cc",
        "    order->SetNext(request.header.sequence + 1);\n",
        "",
        ((SHARD_RECOVERY, "*ARepeatOfWhatWasApplied*"), (SHARD_LOG_DAMAGE, "*EndsAnywhere*")),
    ),
    Mutant(
        "a-cut-notes-the-number-of-an-exchange-too-late",
        "exactly once, across restarts",
        "shard/shard_recovery.cc",
        "head.workers.push_back({worker, order->next_to_take()});",
        "head.workers.push_back({worker, order->next_to_take() - 1});",
        ((SHARD_RECOVERY, "*ARepeatOfWhatIsInTheCheckpoint*"),),
    ),
    Mutant(
        "a-refused-exchange-leaves-no-number-in-the-log",
        "exactly once, across restarts",
        "shard/shard.cc",
        "      HET_RETURN_IF_ERROR(log_->AppendRefusal(request.header, reply.status()));\n",
        "",
        ((SHARD_RECOVERY, "*NumbersOfReadsAndRefused*"), (SHARD_RECOVERY, "*ARefusedExchangeStaysRefused*")),
    ),
    Mutant(
        "damage-is-taken-for-an-unfinished-write",
        "nothing acknowledged is lost in silence",
        "storage/block_file.cc",
        "    if (header.payload_checksum == Checksum(0, payload)) return false;\n",
        "",
        ((SHARD_LOG_DAMAGE, "*ADamagedHeader*"),),
    ),
    *SECURITY_MUTANTS,
)
