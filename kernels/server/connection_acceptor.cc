#include "kernels/server/connection_acceptor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>  // glibc's tcp_info ends before what has been received
#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace het {
namespace {

// How often connections without an admitted call are looked at.
constexpr int kLookMilliseconds = 20;
// After how long without a word a peer is asked whether it is there.
constexpr int kAliveSeconds = 60;

// Its file may be what a server has left that has ended.
bool SomebodyListens(const sockaddr_un& address) {
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool connected =
      connect(probe, reinterpret_cast<const sockaddr*>(&address),
              sizeof address) == 0;
  close(probe);
  return connected;
}

// As gRPC's CallbackServerContext::peer() has it.
std::string PeerName(const sockaddr_storage& address) {
  char host[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &ipv4.sin_addr, host, sizeof host);
    return "ipv4:" + std::string(host) + ":" +
           std::to_string(ntohs(ipv4.sin_port));
  }
  if (address.ss_family != AF_INET6) return "unix:";
  const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address);
  const std::string port = std::to_string(ntohs(ipv6.sin6_port));
  if (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr)) {
    inet_ntop(AF_INET, &ipv6.sin6_addr.s6_addr[12], host, sizeof host);
    return "ipv4:" + std::string(host) + ":" + port;
  }
  inet_ntop(AF_INET6, &ipv6.sin6_addr, host, sizeof host);
  std::string name = host;
  if (ipv6.sin6_scope_id != 0) {
    name += "%25" + std::to_string(ipv6.sin6_scope_id);
  }
  return "ipv6:%5B" + name + "%5D:" + port;
}

// What the peer has sent so far; 0 for a socket.
std::uint64_t ReceivedBytes(int descriptor) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

// Ends a connection at once, whoever else has a descriptor of it: what has been
// received and not read is dropped, and the peer is told. After a shutdown alone
// gRPC, while it does not read, would keep it.
void Abort(int descriptor) {
  sockaddr nowhere = {};
  nowhere.sa_family = AF_UNSPEC;
  if (connect(descriptor, &nowhere, sizeof nowhere) != 0) {
    shutdown(descriptor, SHUT_RDWR);  // a socket of the file system
  }
}

Status CannotListen(const std::string& address) {
  return AlreadyExists("cannot listen on ", address,
                       ": the port is in use, or the address does not belong to "
                       "this host (", std::strerror(errno), ")");
}

}  // namespace

Result<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Listen(
    Options options) {
  const std::string listen = options.listen;
  HET_RETURN_IF_ERROR(CheckAddress(listen));
  const std::size_t colon = listen.rfind(':');
  std::unique_ptr<ConnectionAcceptor> acceptor(
      new ConnectionAcceptor(std::move(options)));
  acceptor->events_ = epoll_create1(EPOLL_CLOEXEC);
  acceptor->wakeup_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (acceptor->events_ < 0 || acceptor->wakeup_ < 0) {
    return Internal("cannot watch connections: ", std::strerror(errno));
  }
  if (listen.rfind("unix:", 0) == 0) {
    HET_RETURN_IF_ERROR(acceptor->ListenOnSocket(listen.substr(5)));
  } else {
    std::string host = listen.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    HET_RETURN_IF_ERROR(acceptor->ListenOnPort(host, listen.substr(colon + 1)));
  }
  for (const int descriptor : acceptor->listeners_) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    epoll_ctl(acceptor->events_, EPOLL_CTL_ADD, descriptor, &event);
  }
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = acceptor->wakeup_;
  epoll_ctl(acceptor->events_, EPOLL_CTL_ADD, acceptor->wakeup_, &event);
  return acceptor;
}

Status ConnectionAcceptor::CheckAddress(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  if (colon != std::string::npos && colon + 1 < listen.size()) return OkStatus();
  return InvalidArgument("cannot listen on '", listen,
                         "': expected host:port or unix:/path");
}

Status ConnectionAcceptor::ListenOnSocket(const std::string& path) {
  address_ = "unix:" + path;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return InvalidArgument("cannot listen on ", address_, ": the path has ",
                           path.size(), " bytes, at most ",
                           sizeof address.sun_path - 1, " are possible");
  }
  path.copy(address.sun_path, path.size());
  if (SomebodyListens(address)) {
    return AlreadyExists("cannot listen on ", address_,
                         ": the socket is in use, another server answers there");
  }
  struct stat there = {};
  if (lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) {
      return AlreadyExists("cannot listen on ", address_,
                           ": a file that is no socket has this name");
    }
    unlink(path.c_str());  // of a server that has ended
  }
  const int descriptor =
      socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  listeners_.push_back(descriptor);
  if (bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(descriptor, SOMAXCONN) != 0) {
    return CannotListen(address_);
  }
  socket_path_ = path;
  return OkStatus();
}

Status ConnectionAcceptor::ListenOnPort(const std::string& host,
                                        const std::string& port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    return InvalidArgument("cannot listen on '", options_.listen, "': ",
                           gai_strerror(error),
                           "; expected host:port or unix:/path");
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found,
                                                               freeaddrinfo);
  std::uint16_t bound = 0;  // network order; a name may have several addresses
  Status last = OkStatus();
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int descriptor =
        socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) continue;  // a kernel without IPv6
    const int on = 1, off = 0;
    // Not SO_REUSEPORT: two servers on one port would each see half of the
    // workers.
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    std::uint16_t* wanted = nullptr;
    if (one->ai_family == AF_INET6) {
      setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      wanted = &reinterpret_cast<sockaddr_in6*>(one->ai_addr)->sin6_port;
    } else {
      wanted = &reinterpret_cast<sockaddr_in*>(one->ai_addr)->sin_port;
    }
    if (bound != 0) *wanted = bound;
    sockaddr_storage got = {};
    socklen_t size = sizeof got;
    if (bind(descriptor, one->ai_addr, one->ai_addrlen) != 0 ||
        ::listen(descriptor, SOMAXCONN) != 0 ||
        getsockname(descriptor, reinterpret_cast<sockaddr*>(&got), &size) != 0) {
      const int error = errno;
      last = CannotListen(options_.listen);
      close(descriptor);
      // "localhost" may stand for an address that this host does not have.
      if (error != EADDRNOTAVAIL) return last;
      continue;
    }
    // The port lies at the same place for both families.
    bound = reinterpret_cast<sockaddr_in*>(&got)->sin_port;
    listeners_.push_back(descriptor);
  }
  if (listeners_.empty()) return last.ok() ? CannotListen(options_.listen) : last;
  address_ = options_.listen.substr(0, options_.listen.rfind(':') + 1) +
             std::to_string(ntohs(bound));
  return OkStatus();
}

ConnectionAcceptor::~ConnectionAcceptor() {
  Stop();
  for (const auto& [descriptor, connection] : connections_) close(descriptor);
  for (const int descriptor : {events_, wakeup_}) {
    if (descriptor >= 0) close(descriptor);
  }
}

void ConnectionAcceptor::Begin() {
  thread_ = std::thread([this] { Run(); });
}

void ConnectionAcceptor::Stop() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    (void)!write(wakeup_, &one, sizeof one);
    thread_.join();
  }
  for (const int descriptor : listeners_) close(descriptor);
  listeners_.clear();
  if (!socket_path_.empty()) unlink(socket_path_.c_str());
  socket_path_.clear();
}

void ConnectionAcceptor::Run() {
  bool strangers = false;
  auto looked = std::chrono::steady_clock::now();
  epoll_event events[64];
  for (;;) {
    const int count =
        epoll_wait(events_, events, 64, strangers ? kLookMilliseconds : -1);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      if (descriptor == wakeup_) return;
      if (std::find(listeners_.begin(), listeners_.end(), descriptor) !=
          listeners_.end()) {
        Accept(descriptor);
        strangers = true;
      } else {
        // gRPC's own end has both; what it wrote is on its way.
        Ended(descriptor, (events[i].events & (EPOLLHUP | EPOLLERR)) == 0);
      }
    }
    const auto now = std::chrono::steady_clock::now();
    if (strangers && now - looked >= std::chrono::milliseconds(kLookMilliseconds)) {
      looked = now;
      strangers = EndStrangers();
    }
  }
}

void ConnectionAcceptor::Accept(int listener) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  const int connection =
      accept4(listener, reinterpret_cast<sockaddr*>(&address), &size,
              SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (connection < 0) {
    // Out of descriptors: the listener stays ready, and those that are there may
    // end meanwhile.
    if (errno == EMFILE || errno == ENFILE) {
      options_.refused("no descriptors left", "");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return;
  }
  const std::string peer = PeerName(address);
  const int watched = fcntl(connection, F_DUPFD_CLOEXEC, 0);
  const bool full = open() >= static_cast<std::int64_t>(options_.max_connections);
  if (full) options_.refused("too many connections", peer);
  if (watched < 0) options_.refused("no descriptors left", peer);
  // Workers are let in at once and stay; who is not has to make room.
  if ((full && !EndOldestStranger()) || watched < 0) {
    close(connection);
    if (watched >= 0) close(watched);
    return;
  }
  if (address.ss_family != AF_UNIX) {
    const int on = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(connection, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(connection, IPPROTO_TCP, TCP_KEEPIDLE, &kAliveSeconds,
               sizeof kAliveSeconds);
  }
  {
    MutexLock lock(&mutex_);
    connections_[watched] = {peer, std::chrono::steady_clock::now()};
    if (address.ss_family != AF_UNIX) by_peer_[peer] = watched;
  }
  epoll_event event = {};
  event.events = EPOLLRDHUP;
  event.data.fd = watched;
  epoll_ctl(events_, EPOLL_CTL_ADD, watched, &event);
  options_.accepted(listener, connection);
}

void ConnectionAcceptor::Ended(int descriptor, bool by_peer) {
  Connection ended;
  {
    MutexLock lock(&mutex_);
    const auto found = connections_.find(descriptor);
    if (found == connections_.end()) return;
    ended = std::move(found->second);
    connections_.erase(found);
    const auto latest = by_peer_.find(ended.peer);
    if (latest != by_peer_.end() && latest->second == descriptor) {
      by_peer_.erase(latest);
    }
  }
  ended.received = std::max(ended.received, ReceivedBytes(descriptor));
  if (by_peer) Abort(descriptor);
  close(descriptor);  // which takes it out of the epoll set, too
  // A probe of the port says nothing, and is none of those; its end counts as one.
  if (!ended.called && ended.received > 1) {
    options_.refused("ended without a call", ended.peer);
  }
}

bool ConnectionAcceptor::EndStrangers() {
  const auto now = std::chrono::steady_clock::now();
  bool others = false;
  MutexLock lock(&mutex_);
  for (auto& [descriptor, connection] : connections_) {
    // Those of a socket are not told apart; its file says who may use it. Those
    // that have been aborted have nothing received any more.
    if (connection.admitted || connection.ending || connection.peer == "unix:") {
      continue;
    }
    connection.received = ReceivedBytes(descriptor);
    if (now - connection.came >= options_.patience ||
        connection.received > options_.unadmitted_bytes) {
      connection.ending = true;
      Abort(descriptor);  // gRPC notices, and so does the epoll set
    } else {
      others = true;
    }
  }
  return others;
}

bool ConnectionAcceptor::EndOldestStranger() {
  MutexLock lock(&mutex_);
  std::pair<const int, Connection>* oldest = nullptr;
  for (auto& one : connections_) {
    if (!one.second.admitted && one.second.peer != "unix:" && !one.second.ending &&
        (oldest == nullptr || one.second.came < oldest->second.came)) {
      oldest = &one;
    }
  }
  if (oldest == nullptr) return false;
  oldest->second.ending = true;
  oldest->second.received = ReceivedBytes(oldest->first);
  Abort(oldest->first);
  return true;
}

void ConnectionAcceptor::NoteCall(const std::string& peer, bool admitted) {
  MutexLock lock(&mutex_);
  const auto found = by_peer_.find(peer);
  if (found == by_peer_.end()) return;
  Connection& connection = connections_[found->second];
  connection.called = true;
  connection.admitted = connection.admitted || admitted;
}

std::int64_t ConnectionAcceptor::open() const {
  MutexLock lock(&mutex_);
  return static_cast<std::int64_t>(connections_.size());
}

}  // namespace het
