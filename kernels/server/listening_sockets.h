// ListeningSockets: the sockets of the address that a server listens on.
//
// Ownership: owns the descriptors, and the file of a socket of the file system.
// Not thread-safe.

#ifndef HET_TF_KERNELS_SERVER_LISTENING_SOCKETS_H_
#define HET_TF_KERNELS_SERVER_LISTENING_SOCKETS_H_

#include <string>
#include <vector>

#include "kernels/base/status.h"

namespace het {

class ListeningSockets {
 public:
  // INVALID_ARGUMENT for what is no address: "host:port" (port 0: any free one)
  // or "unix:/path".
  static Status CheckAddress(const std::string& address);

  ListeningSockets() = default;
  ~ListeningSockets() { Close(); }
  ListeningSockets(const ListeningSockets&) = delete;
  ListeningSockets& operator=(const ListeningSockets&) = delete;

  // INVALID_ARGUMENT for an address that cannot be parsed or found,
  // ALREADY_EXISTS when it cannot be bound (the port or the socket is in use, or
  // the address is not this host's). A socket file that nobody listens on is
  // replaced. May be called once.
  Status Listen(const std::string& address);
  // May be called again.
  void Close();

  // With the port it got.
  const std::string& address() const { return address_; }
  // Several when a name has several addresses.
  const std::vector<int>& descriptors() const { return descriptors_; }

 private:
  Status ListenOnSocket(const std::string& path);
  Status ListenOnPort(const std::string& host, const std::string& port);

  std::string address_;
  std::string socket_path_;  // to be removed at the end
  std::vector<int> descriptors_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SERVER_LISTENING_SOCKETS_H_
