// Log: the shard's structured lines on stderr, one per event.
//
//   2026-01-31T12:00:00.000Z warning refused reason="no token" source="10.0.0.7"
//   {"time":"2026-01-31T12:00:00.000Z","level":"warning","event":"refused",...}
//
// Values are escaped: what comes from the wire cannot forge a line. What strangers
// can cause is written once per minute and counted in between (OncePerMinute).
// gRPC's own messages come through it as well.
//
// Thread-safety: all functions may be called from any thread, after
// Configure. Lock order: all locks here are leaves.

#ifndef HET_TF_KERNELS_SERVER_LOG_H_
#define HET_TF_KERNELS_SERVER_LOG_H_

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "kernels/base/mutex.h"

namespace het {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };
using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

// False when there is none of that name.
bool ParseLogLevel(std::string_view name, LogLevel* level);
bool ParseLogFormat(std::string_view name, LogFormat* format);

// Once, before other threads start; without it: text, from info on.
void ConfigureLog(LogLevel least, LogFormat format);

void Log(LogLevel level, std::string_view event, LogFields fields);

// Says for which events of a kind a line is written: the first in a minute. The
// number of kinds that are remembered is bounded, whatever strangers do.
class OncePerMinute {
 public:
  using Clock = std::chrono::steady_clock;

  // True when a line is to be written; then `*passed_over` is how many were not,
  // since the last one.
  bool Admit(const std::string& kind, Clock::time_point now,
             std::int64_t* passed_over) HET_EXCLUDES(mutex_);

 private:
  struct Kind {
    Clock::time_point last;
    std::int64_t passed_over = 0;
  };
  Mutex mutex_;
  std::unordered_map<std::string, Kind> kinds_ HET_GUARDED_BY(mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_SERVER_LOG_H_
