// ParallelFor: work over a range, cut into pieces that several threads take.
//
// An Executor says whose threads. The caller works too and waits for nothing
// but pieces that another thread has begun: so it may hold a lock for which the
// executor's threads queue, and an executor that never runs what it is given
// costs speed alone. Which thread takes which piece is left to chance; callers
// write each result from one piece.
//
// Thread-safety: an Executor may be used from any thread.

#ifndef HET_TF_KERNELS_BASE_PARALLEL_H_
#define HET_TF_KERNELS_BASE_PARALLEL_H_

#include <cstddef>
#include <functional>
#include <map>
#include <utility>

#include "kernels/base/mutex.h"

namespace het {

struct Executor {
  // Threads that may work at once, the caller among them.
  std::size_t threads = 1;
  // Runs the function some time on a thread of its own. Unused with one.
  std::function<void(std::function<void()>)> schedule;
};

// Calls work(begin, end) on pieces of at least `grain` items that cover
// [0, size), each item once. The calls of one ParallelFor run at the same time.
void ParallelFor(const Executor& executor, std::size_t size, std::size_t grain,
                 const std::function<void(std::size_t, std::size_t)>& work);

// The same for work(begin, end, &found), where every piece fills a Found of its
// own; then merge(&found) for each of them, in the order of their items.
template <typename Found, typename Work, typename Merge>
void ParallelCollect(const Executor& executor, std::size_t size,
                     std::size_t grain, const Work& work, const Merge& merge) {
  if (executor.threads <= 1 || size < 2 * grain) {
    Found found;
    work(0, size, &found);
    merge(&found);
    return;
  }
  Mutex mutex;
  std::map<std::size_t, Found> pieces;
  ParallelFor(executor, size, grain, [&](std::size_t begin, std::size_t end) {
    Found found;
    work(begin, end, &found);
    MutexLock lock(&mutex);
    pieces.emplace(begin, std::move(found));
  });
  for (auto& [begin, found] : pieces) merge(&found);
}

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_PARALLEL_H_
