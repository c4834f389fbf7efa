#include "kernels/server/listening_sockets.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>

namespace het {
namespace {

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

Status CannotListen(const std::string& address) {
  return AlreadyExists("cannot listen on ", address,
                       ": the port is in use, or the address does not belong to "
                       "this host (", std::strerror(errno), ")");
}

}  // namespace

Status ListeningSockets::CheckAddress(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon != std::string::npos && colon + 1 < address.size()) return OkStatus();
  return InvalidArgument("cannot listen on '", address,
                         "': expected host:port or unix:/path");
}

Status ListeningSockets::Listen(const std::string& address) {
  HET_RETURN_IF_ERROR(CheckAddress(address));
  address_ = address;
  if (address.rfind("unix:", 0) == 0) return ListenOnSocket(address.substr(5));
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return ListenOnPort(host, address.substr(colon + 1));
}

void ListeningSockets::Close() {
  for (const int descriptor : descriptors_) close(descriptor);
  descriptors_.clear();
  if (!socket_path_.empty()) unlink(socket_path_.c_str());
  socket_path_.clear();
}

Status ListeningSockets::ListenOnSocket(const std::string& path) {
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
  descriptors_.push_back(descriptor);
  if (bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(descriptor, SOMAXCONN) != 0) {
    return CannotListen(address_);
  }
  socket_path_ = path;
  return OkStatus();
}

Status ListeningSockets::ListenOnPort(const std::string& host,
                                        const std::string& port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    return InvalidArgument("cannot listen on '", address_, "': ",
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
      last = CannotListen(address_);
      close(descriptor);
      // "localhost" may stand for an address that this host does not have.
      if (error != EADDRNOTAVAIL) return last;
      continue;
    }
    // The port lies at the same place for both families.
    bound = reinterpret_cast<sockaddr_in*>(&got)->sin_port;
    descriptors_.push_back(descriptor);
  }
  if (descriptors_.empty()) return last.ok() ? CannotListen(address_) : last;
  address_ = address_.substr(0, address_.rfind(':') + 1) +
             std::to_string(ntohs(bound));
  return OkStatus();
}

}  // namespace het
