#include "kernels/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

namespace het {
namespace {

// Pieces per thread: a thread that comes late or is interrupted leaves its
// share to the others.
constexpr std::size_t kPiecesPerThread = 4;

// Some ten microseconds.
constexpr int kLooksBeforeYielding = 1000;

void Pause() {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

// Outlives the call: a scheduled thread may come when all is done.
struct Pieces {
  std::size_t size;
  std::size_t piece;
  std::size_t count;
  // Valid while a piece is left; not touched afterwards.
  const std::function<void(std::size_t, std::size_t)>* work;
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> done{0};

  void Run() {
    for (std::size_t k; (k = next.fetch_add(1)) < count;) {
      (*work)(k * piece, std::min(size, (k + 1) * piece));
      done.fetch_add(1, std::memory_order_release);
    }
  }
};

}  // namespace

void ParallelFor(const Executor& executor, std::size_t size, std::size_t grain,
                 const std::function<void(std::size_t, std::size_t)>& work) {
  if (size == 0) return;
  const std::size_t threads =
      std::min(executor.threads, size / std::max<std::size_t>(grain, 1));
  if (threads <= 1) {
    work(0, size);
    return;
  }
  auto pieces = std::make_shared<Pieces>();
  pieces->size = size;
  pieces->piece = std::max(
      grain, (size + threads * kPiecesPerThread - 1) /
                 (threads * kPiecesPerThread));
  pieces->count = (size + pieces->piece - 1) / pieces->piece;
  pieces->work = &work;
  for (std::size_t t = 1; t < threads; ++t) {
    executor.schedule([pieces] { pieces->Run(); });
  }
  pieces->Run();
  // A begun piece takes microseconds; its thread may have been interrupted.
  for (int looks = 0;
       pieces->done.load(std::memory_order_acquire) < pieces->count; ++looks) {
    if (looks < kLooksBeforeYielding) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace het
