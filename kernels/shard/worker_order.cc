#include "kernels/shard/worker_order.h"

#include <new>
#include <utility>

namespace het {

void WorkerOrder::Close() {
  std::map<std::uint64_t, Turn> waiting;
  {
    MutexLock lock(&mutex_);
    closed_ = true;
    waiting.swap(waiting_);
  }
  for (auto& [sequence, turn] : waiting) {
    turn.refuse(Unavailable("the shard stopped while exchange ", sequence,
                            " waited for an earlier one"));
  }
}

void WorkerOrder::NoteRefused(std::uint64_t sequence, const Status& status) {
  MutexLock lock(&mutex_);
  refused_[sequence] = status;
  if (refused_.size() > window_) refused_.erase(refused_.begin());
}

Status WorkerOrder::Refusal(std::uint64_t sequence) {
  MutexLock lock(&mutex_);
  const auto found = refused_.find(sequence);
  return found == refused_.end() ? OkStatus() : found->second;
}

bool WorkerOrder::IdleFor(std::chrono::steady_clock::duration time) {
  MutexLock lock(&mutex_);
  return !running_ && waiting_.empty() &&
         std::chrono::steady_clock::now() - last_came_ >= time;
}

void WorkerOrder::Submit(std::uint64_t sequence, Turn turn) {
  Turn replaced;
  std::uint64_t next;
  bool beyond = false;
  bool closed = false;
  {
    MutexLock lock(&mutex_);
    next = next_;
    last_came_ = std::chrono::steady_clock::now();
    const bool waits = running_ || sequence > next_;
    if (sequence >= next_ + window_) {
      beyond = true;
    } else if (waits && closed_) {
      closed = true;
    } else if (waits) {
      Turn& place = waiting_[sequence];
      replaced = std::exchange(place, std::move(turn));
    } else {
      running_ = true;
    }
  }
  if (beyond) {
    turn.refuse(Unavailable(
        "exchange ", sequence, " is too far ahead: exchange ", next,
        " has not arrived, and the shard keeps a window of ", window_));
    return;
  }
  if (closed) {
    turn.refuse(Unavailable("the shard is stopping"));
    return;
  }
  if (replaced.refuse) {
    replaced.refuse(Aborted("exchange ", sequence, " was sent again"));
  }
  if (turn.run) Drain(sequence, std::move(turn));
}

void WorkerOrder::Drain(std::uint64_t sequence, Turn turn) {
  while (true) {
    bool repeated;
    {
      MutexLock lock(&mutex_);
      repeated = sequence < next_;
    }
    try {
      turn.run(repeated);
    } catch (const std::bad_alloc&) {
      turn.refuse(Internal("the shard has no memory left for exchange ", sequence,
                           ", which may be applied in part"));
    }
    MutexLock lock(&mutex_);
    if (!repeated) ++next_;
    const auto first = waiting_.begin();
    if (first == waiting_.end() || first->first > next_) {
      running_ = false;
      return;
    }
    sequence = first->first;
    turn = std::move(first->second);
    waiting_.erase(first);
  }
}

}  // namespace het
