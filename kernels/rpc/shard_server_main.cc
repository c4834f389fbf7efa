// het-tf-shard: one parameter-server shard. See --help.

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>

#include "kernels/base/version.h"
#include "kernels/rpc/shard_server.h"
#include "kernels/shard/shard.h"

namespace {

constexpr char kHelp[] =
    "het-tf-shard %s: holds embedding tables and serves them to workers.\n"
    "\n"
    "  --listen ADDRESS         host:port (port 0: any free one) or unix:/path\n"
    "                           (default 127.0.0.1:4700; another interface has\n"
    "                           to be named: traffic is neither encrypted nor\n"
    "                           authenticated)\n"
    "  --shard-index I          this is shard I ...\n"
    "  --shard-count N          ... of N; without it the first worker decides\n"
    "  --max-message-bytes N    largest message, both ways (default 1 GiB)\n"
    "  --checkpoint-dir DIR     where checkpoints are written and read: a\n"
    "                           directory that all shards and workers share\n"
    "  --push-log DIR           where the shard logs every update before it answers:\n"
    "                           killed and started again with the same flags, it\n"
    "                           comes back with all that it has acknowledged; on\n"
    "                           the checkpoints' file system, one per shard and job\n"
    "  --push-log-sync          an update is acknowledged when its log is on the\n"
    "                           disk, not in the page cache alone: power may fail\n"
    "  --die-with-parent        end when the process that started this one ends\n"
    "  --help\n"
    "\n"
    "Prints one line when it is ready; SIGTERM and SIGINT end it gracefully.\n";

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

}  // namespace

int main(int argc, char** argv) {
  het::ShardServerOptions options;
  het::Shard::Options shard_options;
  const option flags[] = {{"listen", required_argument, nullptr, 'l'},
                          {"shard-index", required_argument, nullptr, 'i'},
                          {"shard-count", required_argument, nullptr, 'n'},
                          {"max-message-bytes", required_argument, nullptr, 'm'},
                          {"checkpoint-dir", required_argument, nullptr, 'c'},
                          {"push-log", required_argument, nullptr, 'd'},
                          {"push-log-sync", no_argument, nullptr, 's'},
                          {"die-with-parent", no_argument, nullptr, 'p'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  const pid_t parent = getppid();
  for (int flag; (flag = getopt_long(argc, argv, "", flags, nullptr)) != -1;) {
    unsigned long long number = 0;
    const bool numeric = flag == 'i' || flag == 'n' || flag == 'm';
    const unsigned long long least = flag == 'm' ? 1 : 0;
    const unsigned long long most =
        flag == 'm' ? std::numeric_limits<std::size_t>::max()
                    : std::numeric_limits<std::uint32_t>::max();
    if (numeric && (!ParseNumber(optarg, &number) || number < least ||
                    number > most)) {
      std::fprintf(stderr,
                   "het-tf-shard: expected a number from %llu to %llu, got "
                   "'%s'\n",
                   least, most, optarg);
      return 2;
    }
    switch (flag) {
      case 'l':
        options.listen = optarg;
        break;
      case 'i':
        options.place.index = static_cast<std::uint32_t>(number);
        break;
      case 'n':
        options.place.count = static_cast<std::uint32_t>(number);
        break;
      case 'm':
        options.max_message_bytes = number;
        break;
      case 'c':
        options.checkpoint_directory = optarg;
        break;
      case 'd':
        shard_options.log_directory = optarg;
        break;
      case 's':
        shard_options.durability = het::Durability::kSynced;
        break;
      case 'p':
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) return 0;  // it ended in between
        break;
      case 'h':
        std::printf(kHelp, het::kVersion);
        return 0;
      default:
        return 2;
    }
  }
  if (optind < argc) {
    std::fprintf(stderr, "het-tf-shard: unexpected argument '%s'\n",
                 argv[optind]);
    return 2;
  }
  if (shard_options.durability == het::Durability::kSynced &&
      shard_options.log_directory.empty()) {
    std::fprintf(stderr, "het-tf-shard: --push-log-sync needs --push-log\n");
    return 2;
  }
  if (options.place.count > 0 && options.place.index >= options.place.count) {
    std::fprintf(stderr,
                 "het-tf-shard: --shard-index %u is not below --shard-count "
                 "%u\n",
                 options.place.index, options.place.count);
    return 2;
  }

  KeepFreedMemory();
  // Blocked before any thread starts, so that sigwait below gets them.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  shard_options.max_reply_bytes = options.max_message_bytes;
  auto opened = het::Shard::Open(shard_options);
  if (!opened.ok()) {
    std::fprintf(stderr, "het-tf-shard: %s\n",
                 opened.status().message().c_str());
    return 1;
  }
  const std::shared_ptr<het::Shard> shard = std::move(opened).Take();
  auto server = het::ShardServer::Start(options, shard, shard->incarnation());
  if (!server.ok()) {
    std::fprintf(stderr, "het-tf-shard: %s\n",
                 server.status().message().c_str());
    return 1;
  }
  std::printf("het-tf-shard %s listening on %s incarnation %016llx\n",
              het::kVersion, (*server)->address().c_str(),
              static_cast<unsigned long long>(shard->incarnation()));
  std::fflush(stdout);

  int received = 0;
  sigwait(&stop, &received);
  shard->Close();
  (*server)->Stop(std::chrono::seconds(5));
  std::printf("het-tf-shard stopped\n");
  return 0;
}
