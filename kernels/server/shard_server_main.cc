// het-tf-shard: one parameter-server shard. See --help.

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/version.h"
#include "kernels/rpc/credentials.h"
#include "kernels/server/log.h"
#include "kernels/server/shard_server.h"
#include "kernels/shard/shard.h"

namespace het {
namespace {

constexpr char kHelp[] =
    "het-tf-shard %s: holds embedding tables and serves them to workers.\n"
    "\n"
    "  --listen ADDRESS         host:port (port 0: any free one) or unix:/path\n"
    "                           (default 127.0.0.1:4700); what others can reach\n"
    "                           needs TLS, or --insecure\n"
    "  --shard-index I          this is shard I ...\n"
    "  --shard-count N          ... of N; without it the first worker decides\n"
    "\n"
    "Who is let in (PEM files, read again when they change):\n"
    "  --tls-cert FILE          the shard's certificate: connections use TLS\n"
    "  --tls-key FILE           its key\n"
    "  --tls-ca FILE            workers have to show a certificate of this CA\n"
    "  --token-file FILE        workers have to show this token\n"
    "  --admin-token-file FILE  who snapshots, restores, drops and stops has to\n"
    "                           show this one\n"
    "  --insecure               listen without TLS where others can reach it\n"
    "\n"
    "Limits; what is beyond them is refused whole, with an error that says so:\n"
    "  --max-message-bytes N    of a message, both ways (default 1 GiB)\n"
    "  --max-ids N              of a request (default 67108864)\n"
    "  --max-dimension N        of a table (default 1048576)\n"
    "  --max-tables N           (default 65536)\n"
    "  --max-workers N          that are remembered (default 65536)\n"
    "  --max-connections N      open at once (default 4096)\n"
    "  --max-memory BYTES       of all rows; no new ones beyond it (default: none)\n"
    "\n"
    "State that survives:\n"
    "  --checkpoint-dir DIR     where checkpoints are written and read: a\n"
    "                           directory that all shards and workers share\n"
    "  --push-log DIR           where the shard logs every update before it answers:\n"
    "                           killed and started again with the same flags, it\n"
    "                           comes back with all that it has acknowledged; on\n"
    "                           the checkpoints' file system, one per shard and job\n"
    "  --push-log-sync          an update is acknowledged when its log is on the\n"
    "                           disk, not in the page cache alone: power may fail\n"
    "\n"
    "For its operator:\n"
    "  --metrics-listen ADDRESS host:port where Prometheus finds /metrics\n"
    "  --metrics-insecure       also where others can reach it; it has no TLS\n"
    "  --log-level LEVEL        debug, info, warning or error (default info)\n"
    "  --log-format FORMAT      text or json (default text); on stderr\n"
    "  --reflection             gRPC reflection, for everybody\n"
    "  --die-with-parent PID    end when process PID, which started this one, ends\n"
    "  --help\n"
    "\n"
    "Prints one line when it is ready; SIGTERM and SIGINT end it gracefully.\n";

constexpr std::chrono::seconds kGrace(5);  // of calls that run, at the end

bool ParseNumber(const char* text, unsigned long long* number) {
  char* end = nullptr;
  errno = 0;
  *number = std::strtoull(text, &end, 10);
  return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
}

// A message of megabytes takes its memory from malloc and gives it back, exchange
// after exchange. By default glibc returns it to the kernel each time, and half
// of an exchange is then page faults: keep it.
void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that glibc takes
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

// A connection takes two descriptors.
void AllowManyDescriptors() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void StopSignals(sigset_t* signals) {
  sigemptyset(signals);
  sigaddset(signals, SIGTERM);
  sigaddset(signals, SIGINT);
}

// One flag, and what it does with its value: false for a value that it cannot take.
struct Flag {
  const char* name;
  const char* expected;  // null: it has no value
  std::function<bool(const char* value)> take;
};

Flag Number(const char* name, const char* expected, unsigned long long least,
            unsigned long long most,
            std::function<void(unsigned long long)> take) {
  return {name, expected, [=](const char* value) {
            unsigned long long number = 0;
            if (!ParseNumber(value, &number) || number < least || number > most) {
              return false;
            }
            take(number);
            return true;
          }};
}

Flag Text(const char* name, const char* expected, std::string* into) {
  return {name, expected, [into](const char* value) {
            *into = value;
            return !into->empty();
          }};
}

Flag Switch(const char* name, std::function<void()> take) {
  return {name, nullptr, [=](const char*) {
            take();
            return true;
          }};
}

Flag Limit(const char* name, std::size_t* into) {
  return Number(name, "a number from 1 on", 1,
                std::numeric_limits<std::size_t>::max(),
                [into](unsigned long long number) { *into = number; });
}

struct Settings {
  ShardServerOptions server;
  Shard::Options shard;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  pid_t die_with = 0;  // the process that started this one; 0 for nobody
};

std::vector<Flag> Flags(Settings* settings) {
  constexpr unsigned long long kMost = std::numeric_limits<std::uint32_t>::max();
  const char* const kNumber = "a number from 0 to 4294967295";
  const char* const kFile = "a file's path";
  const char* const kFolder = "a directory's path";
  ShardServerOptions& server = settings->server;
  Shard::Options& shard = settings->shard;
  ShardPlace& place = server.service.place;
  return {
      Text("listen", "host:port or unix:/path", &server.listen),
      Number("shard-index", kNumber, 0, kMost,
             [&place](unsigned long long n) {
               place.index = static_cast<std::uint32_t>(n);
             }),
      Number("shard-count", kNumber, 0, kMost,
             [&place](unsigned long long n) {
               place.count = static_cast<std::uint32_t>(n);
             }),
      Text("tls-cert", kFile, &server.security.tls_cert),
      Text("tls-key", kFile, &server.security.tls_key),
      Text("tls-ca", kFile, &server.security.tls_ca),
      Text("token-file", kFile, &server.security.token_file),
      Text("admin-token-file", kFile, &server.security.admin_token_file),
      Switch("insecure", [&server] { server.insecure = true; }),
      Limit("max-message-bytes", &server.max_message_bytes),
      Limit("max-ids", &server.service.max_ids),
      Limit("max-dimension", &shard.max_dimension),
      Limit("max-tables", &shard.max_tables),
      Limit("max-workers", &shard.max_workers),
      Limit("max-connections", &server.max_connections),
      Limit("max-memory", &shard.max_memory_bytes),
      Text("checkpoint-dir", kFolder, &server.service.checkpoint_directory),
      Text("push-log", kFolder, &shard.log_directory),
      Switch("push-log-sync", [&shard] { shard.durability = Durability::kSynced; }),
      Text("metrics-listen", "host:port", &server.metrics_listen),
      Switch("metrics-insecure", [&server] { server.metrics_insecure = true; }),
      {"log-level", "debug, info, warning or error",
       [settings](const char* value) {
         return ParseLogLevel(value, &settings->log_level);
       }},
      {"log-format", "text or json",
       [settings](const char* value) {
         return ParseLogFormat(value, &settings->log_format);
       }},
      Switch("reflection", [&server] { server.reflection = true; }),
      Number("die-with-parent", "the parent's process id", 1,
             std::numeric_limits<pid_t>::max(),
             [settings](unsigned long long pid) {
               settings->die_with = static_cast<pid_t>(pid);
             }),
      Switch("help", [] {
        std::printf(kHelp, kVersion);
        std::exit(0);
      }),
  };
}

// What the flags say; false, and a line on stderr, when they make no sense.
bool Parse(int argc, char** argv, Settings* settings) {
  const std::vector<Flag> flags = Flags(settings);
  std::vector<option> options;
  for (const Flag& flag : flags) {
    options.push_back({flag.name,
                       flag.expected == nullptr ? no_argument : required_argument,
                       nullptr, 0});
  }
  options.push_back({nullptr, 0, nullptr, 0});
  for (int found, at = 0;
       (found = getopt_long(argc, argv, "", options.data(), &at)) != -1;) {
    if (found != 0) return false;  // getopt has said why
    const Flag& flag = flags[static_cast<std::size_t>(at)];
    if (!flag.take(optarg)) {
      std::fprintf(stderr, "het-tf-shard: --%s: expected %s, got '%s'\n",
                   flag.name, flag.expected, optarg);
      return false;
    }
  }
  if (optind < argc) {
    std::fprintf(stderr, "het-tf-shard: unexpected argument '%s'\n",
                 argv[optind]);
    return false;
  }
  const ShardPlace& place = settings->server.service.place;
  if (settings->shard.durability == Durability::kSynced &&
      settings->shard.log_directory.empty()) {
    std::fprintf(stderr, "het-tf-shard: --push-log-sync needs --push-log\n");
    return false;
  }
  if (place.count > 0 && place.index >= place.count) {
    std::fprintf(stderr,
                 "het-tf-shard: --shard-index %u is not below --shard-count %u\n",
                 place.index, place.count);
    return false;
  }
  return true;
}

// The first error of a shard that cannot be started.
int Fail(const Status& status) {
  std::fprintf(stderr, "het-tf-shard: %s\n", status.message().c_str());
  return 1;
}

int Serve(Settings settings) {
  settings.shard.max_reply_bytes = settings.server.max_message_bytes;
  auto opened = Shard::Open(settings.shard);
  if (!opened.ok()) return Fail(opened.status());
  const std::shared_ptr<Shard> shard = std::move(opened).Take();
  ShardServiceOptions& service = settings.server.service;
  service.drop_table = [shard](const std::string& table) {
    return shard->DropTable(table);
  };
  service.stop = [] { kill(getpid(), SIGTERM); };
  auto server =
      ShardServer::Start(settings.server, shard, shard->incarnation());
  if (!server.ok()) return Fail(server.status());
  const std::string& address = (*server)->address();
  std::printf("het-tf-shard %s listening on %s incarnation %016llx\n", kVersion,
              address.c_str(),
              static_cast<unsigned long long>(shard->incarnation()));
  std::fflush(stdout);
  const Security& security = settings.server.security;
  const bool tls = !security.tls_cert.empty();
  const bool token =
      !security.token_file.empty() || !security.admin_token_file.empty();
  const bool everybody = !IsLocal(settings.server.listen) && !token &&
                         security.tls_ca.empty();
  Log(everybody ? LogLevel::kWarning : LogLevel::kInfo, "listening",
      {{"address", address},
       {"tls", !tls ? "no" : security.tls_ca.empty() ? "yes" : "mutual"},
       {"token", token ? "yes" : "no"},
       {"metrics", (*server)->metrics_address()},
       {"note", !everybody ? ""
                : tls      ? "whoever reaches it is let in, as an administrator, too"
                           : "open to the network, without encryption or "
                             "authentication"}});

  sigset_t stop;
  StopSignals(&stop);
  int received = 0;
  sigwait(&stop, &received);
  shard->Close();
  // A connection that gRPC does not let go of does not keep the process: whatever
  // was acknowledged is where its durability says.
  std::thread([] {
    std::this_thread::sleep_for(kGrace + std::chrono::seconds(2));
    Log(LogLevel::kWarning, "stopped", {{"note", "a connection did not end"}});
    _exit(0);
  }).detach();
  (*server)->Stop(kGrace);
  std::printf("het-tf-shard stopped\n");
  return 0;
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) {
  het::Settings settings;
  if (!het::Parse(argc, argv, &settings)) return 2;
  if (settings.die_with != 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    // It may have ended before that, even before this process's first instruction.
    if (getppid() != settings.die_with) {
      std::fprintf(stderr,
                   "het-tf-shard: --die-with-parent: process %d has ended or "
                   "did not start this one\n",
                   static_cast<int>(settings.die_with));
      return 1;
    }
  }
  // A log that nobody reads any more does not end the shard.
  signal(SIGPIPE, SIG_IGN);
  het::KeepFreedMemory();
  het::AllowManyDescriptors();
  // Blocked before any thread starts, so that sigwait gets them.
  sigset_t stop;
  het::StopSignals(&stop);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  het::ConfigureLog(settings.log_level, settings.log_format);
  return het::Serve(std::move(settings));
}
