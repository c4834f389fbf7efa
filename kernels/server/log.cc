#include "kernels/server/log.h"

#define FMT_HEADER_ONLY
#include <absl/strings/escaping.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <grpc/support/log.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <memory>

namespace het {
namespace {

constexpr std::size_t kMostKinds = 4096;
LogFormat g_format = LogFormat::kText;

// What is not ASCII may not be UTF-8, either, and is written as \\xff.
std::string Json(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x80;
  });
  google::protobuf::Value value;
  value.set_string_value(
      ascii ? std::string(text)
            : absl::CHexEscape(absl::string_view(text.data(), text.size())));
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(value, &json);
  return status.ok() ? json : "\"\"";
}

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

spdlog::logger& Logger() {
  static spdlog::logger logger(
      "het-tf-shard", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return logger;
}

// What gRPC says of itself: a failed TLS handshake, for one.
void TakeGrpcMessage(gpr_log_func_args* message) {
  static OncePerMinute once;
  std::int64_t passed_over = 0;
  const std::string at =
      std::string(message->file) + ":" + std::to_string(message->line);
  if (!once.Admit(at, OncePerMinute::Clock::now(), &passed_over)) return;
  Log(message->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning
                                                  : LogLevel::kDebug,
      "grpc",
      {{"message", message->message},
       {"at", at.substr(at.rfind('/') + 1)},
       {"passed_over", std::to_string(passed_over)}});
}

}  // namespace

bool ParseLogLevel(std::string_view name, LogLevel* level) {
  for (const auto& [known, value] :
       {std::pair<std::string_view, LogLevel>{"debug", LogLevel::kDebug},
        {"info", LogLevel::kInfo},
        {"warning", LogLevel::kWarning},
        {"error", LogLevel::kError}}) {
    if (name == known) {
      *level = value;
      return true;
    }
  }
  return false;
}

bool ParseLogFormat(std::string_view name, LogFormat* format) {
  if (name != "text" && name != "json") return false;
  *format = name == "json" ? LogFormat::kJson : LogFormat::kText;
  return true;
}

void ConfigureLog(LogLevel least, LogFormat format) {
  g_format = format;
  constexpr auto utc = spdlog::pattern_time_type::utc;
  Logger().set_formatter(std::make_unique<spdlog::pattern_formatter>(
      format == LogFormat::kJson
          ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
          : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
      utc));
  Logger().set_level(LevelOf(least));
  Logger().flush_on(spdlog::level::debug);
  gpr_set_log_function(TakeGrpcMessage);
}

void Log(LogLevel level, std::string_view event, LogFields fields) {
  if (!Logger().should_log(LevelOf(level))) return;
  std::string line;
  if (g_format == LogFormat::kJson) {
    line = "\"event\":" + Json(event);
    for (const auto& [name, value] : fields) {
      line += "," + Json(name) + ":" + Json(value);
    }
  } else {
    line = event;
    for (const auto& [name, value] : fields) {
      line += " " + std::string(name) + "=" + Json(value);
    }
  }
  Logger().log(LevelOf(level), spdlog::string_view_t(line.data(), line.size()));
}

bool OncePerMinute::Admit(const std::string& kind, Clock::time_point now,
                          std::int64_t* passed_over) {
  constexpr std::chrono::minutes kQuiet(1);
  MutexLock lock(&mutex_);
  if (kinds_.size() >= kMostKinds && kinds_.count(kind) == 0) {
    for (auto old = kinds_.begin(); old != kinds_.end();) {
      old = now - old->second.last >= kQuiet ? kinds_.erase(old) : std::next(old);
    }
  }
  // More kinds than that in one minute share a line.
  const bool full = kinds_.size() >= kMostKinds && kinds_.count(kind) == 0;
  const auto [known, is_new] = kinds_.try_emplace(full ? std::string() : kind);
  if (!is_new && now - known->second.last < kQuiet) {
    ++known->second.passed_over;
    return false;
  }
  *passed_over = known->second.passed_over;
  known->second = {now, 0};
  return true;
}

}  // namespace het
