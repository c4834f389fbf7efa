#include "kernels/store/retrying_store.h"

#include <algorithm>
#include <future>
#include <unordered_map>
#include <utility>

#include "kernels/base/hash.h"
#include "kernels/base/mutex.h"

namespace het {
namespace {

bool IsRetried(StatusCode code) {
  return code == StatusCode::kUnavailable ||
         code == StatusCode::kDeadlineExceeded ||
         code == StatusCode::kAborted;
}

Status AfterFailure(const Status& failure) {
  return FailedPrecondition(
      "an earlier exchange failed, training cannot go on: ",
      failure.ToString());
}

}  // namespace

// What calls in flight share with the store and may outlive it with.
struct RetryingStore::Core {
  Core(std::shared_ptr<EmbeddingStore> wrapped, RetryOptions with,
       std::shared_ptr<Timer> clock)
      : store(std::move(wrapped)),
        options(std::move(with)),
        timer(std::move(clock)),
        jitter(Mix64(options.worker ^ options.jitter_seed)) {}

  // The pause after `attempts` attempts, or DEADLINE_EXCEEDED when the attempt
  // after it could reach past the deadline. `cause` is why the last attempt failed.
  Result<Timer::Clock::duration> Pause(int attempts,
                                       Timer::Clock::time_point deadline,
                                       const std::string& call,
                                       const Status& cause) {
    using Milliseconds = std::chrono::milliseconds;
    const Milliseconds longest =
        std::min(options.max_backoff,
                 Milliseconds(options.initial_backoff.count()
                              << std::min(attempts - 1, 20)));
    std::uint64_t bits;
    {
      MutexLock lock(&mutex);
      jitter = Mix64(jitter + 1);
      bits = jitter;
    }
    const Timer::Clock::duration pause =
        Timer::Clock::duration(longest) / 2 +
        Timer::Clock::duration(longest) / 2 * (bits % 1024) / 1024;
    if (timer->Now() + pause + options.attempt <= deadline) return pause;
    return DeadlineExceeded(options.name, ": ", call,
                            " did not succeed within ",
                            options.deadline.count(), " ms (", attempts,
                            " attempts); the last one: ", cause.ToString());
  }

  std::string NameTables(const ExchangeRequest& request) {
    MutexLock lock(&mutex);
    std::string names;
    for (const TableExchange& exchange : request.tables) {
      const auto known = tables.find(exchange.table);
      names += names.empty() ? "" : ", ";
      names += known == tables.end() ? "(unknown)" : "'" + known->second + "'";
    }
    return "exchange for " + std::string(request.tables.size() == 1
                                             ? "table "
                                             : "tables ") + names;
  }

  const std::shared_ptr<EmbeddingStore> store;
  const RetryOptions options;
  const std::shared_ptr<Timer> timer;
  Mutex mutex;
  std::uint64_t next_sequence HET_GUARDED_BY(mutex) = 1;
  Status failure HET_GUARDED_BY(mutex);
  std::unordered_map<TableId, std::string> tables HET_GUARDED_BY(mutex);
  std::uint64_t jitter HET_GUARDED_BY(mutex);
};

// One exchange with its attempts, one at a time.
class RetryingStore::Call : public std::enable_shared_from_this<Call> {
 public:
  Call(std::shared_ptr<Core> core, const ExchangeRequest& request,
       ExchangeDone done)
      : core_(std::move(core)),
        request_(request),
        done_(std::move(done)),
        deadline_(core_->timer->Now() + core_->options.deadline) {}

  void Start() {
    Status failure;
    {
      MutexLock lock(&core_->mutex);
      failure = core_->failure;
      if (failure.ok()) request_.header.sequence = core_->next_sequence++;
    }
    if (!failure.ok()) {
      done_(AfterFailure(failure), {});
      return;
    }
    request_.header.worker = core_->options.worker;
    request_.header.shard = core_->options.shard;
    Attempt();
  }

 private:
  void Attempt() {
    ++attempts_;
    core_->store->Exchange(
        request_, [self = shared_from_this()](Status status,
                                              ExchangeReply reply) {
          self->Answer(std::move(status), std::move(reply));
        });
  }

  void Answer(Status status, ExchangeReply reply) {
    if (status.ok()) {
      done_(OkStatus(), std::move(reply));
      return;
    }
    Status failure;
    {
      MutexLock lock(&core_->mutex);
      failure = core_->failure;
    }
    // Behind a number that the shard will never see.
    if (IsRetried(status.code()) && !failure.ok()) {
      done_(AfterFailure(failure), {});
      return;
    }
    if (IsRetried(status.code())) {
      const auto pause = core_->Pause(attempts_, deadline_,
                                      core_->NameTables(request_), status);
      if (pause.ok()) {
        core_->timer->Schedule(*pause,
                               [self = shared_from_this()] { self->Attempt(); });
        return;
      }
      status = pause.status();
    } else {
      status = status.WithContext(core_->options.name);
    }
    if (status.code() != StatusCode::kInvalidArgument &&
        status.code() != StatusCode::kNotFound &&
        status.code() != StatusCode::kResourceExhausted) {
      MutexLock lock(&core_->mutex);
      if (core_->failure.ok()) core_->failure = status;
    }
    done_(std::move(status), {});
  }

  const std::shared_ptr<Core> core_;
  ExchangeRequest request_;  // the arrays stay the caller's
  const ExchangeDone done_;
  const Timer::Clock::time_point deadline_;
  int attempts_ = 0;  // attempts follow one another: no lock
};

RetryingStore::RetryingStore(std::shared_ptr<EmbeddingStore> store,
                             RetryOptions options,
                             std::shared_ptr<Timer> timer)
    : core_(std::make_shared<Core>(std::move(store), std::move(options),
                                   std::move(timer))) {}

RetryingStore::~RetryingStore() = default;

void RetryingStore::Exchange(const ExchangeRequest& request,
                             ExchangeDone done) {
  std::make_shared<Call>(core_, request, std::move(done))->Start();
}

Status RetryingStore::Retry(const std::string& call,
                            const std::function<Status()>& attempt) {
  const Timer::Clock::time_point deadline =
      core_->timer->Now() + core_->options.deadline;
  for (int attempts = 1;; ++attempts) {
    const Status status = attempt();
    if (status.ok()) return status;
    if (!IsRetried(status.code())) {
      return status.WithContext(core_->options.name);
    }
    const auto pause = core_->Pause(attempts, deadline, call, status);
    HET_RETURN_IF_ERROR(pause.status());
    std::promise<void> over;
    core_->timer->Schedule(*pause, [&over] { over.set_value(); });
    over.get_future().wait();
  }
}

template <typename T, typename Attempt>
Result<T> RetryingStore::RetryFor(const std::string& call,
                                  const Attempt& attempt) {
  T value{};
  HET_RETURN_IF_ERROR(Retry(call, [&] {
    Result<T> result = attempt();
    if (result.ok()) value = std::move(result).Take();
    return result.status();
  }));
  return value;
}

Status RetryingStore::CreateTable(const TableSpec& spec) {
  HET_RETURN_IF_ERROR(Retry("CreateTable of '" + spec.name + "'", [&] {
    return core_->store->CreateTable(spec);
  }));
  MutexLock lock(&core_->mutex);
  core_->tables.emplace(spec.id(), spec.name);
  return OkStatus();
}

Status RetryingStore::Assign(TableId table, Staleness staleness,
                             Span<const RowId> ids, Span<const float> rows) {
  std::string call;
  {
    MutexLock lock(&core_->mutex);
    const auto known = core_->tables.find(table);
    call = "Assign to table " + (known == core_->tables.end()
                                     ? "(unknown)"
                                     : "'" + known->second + "'");
  }
  return Retry(call, [&] {
    const Status status = core_->store->Assign(table, staleness, ids, rows);
    return IsRetried(status.code()) ? status : status.WithContext(call);
  });
}

Result<std::vector<ShardStats>> RetryingStore::Stats() {
  return RetryFor<std::vector<ShardStats>>(
      "Stats", [&] { return core_->store->Stats(); });
}

Result<CheckpointProgress> RetryingStore::Snapshot(
    const SnapshotRequest& request) {
  return RetryFor<CheckpointProgress>(
      "Snapshot '" + request.name + "'",
      [&] { return core_->store->Snapshot(request); });
}

Result<CheckpointProgress> RetryingStore::Restore(
    const RestoreRequest& request) {
  return RetryFor<CheckpointProgress>(
      "Restore", [&] { return core_->store->Restore(request); });
}

bool RetryingStore::sole_writer() const { return core_->options.sole_writer; }

Traffic RetryingStore::traffic() const { return core_->store->traffic(); }

}  // namespace het
