#include "kernels/base/incarnation.h"

#include <random>

namespace het {

Incarnation DrawIncarnation() {
  std::random_device device;
  Incarnation drawn = 0;
  while (drawn == 0) {
    drawn = (static_cast<Incarnation>(device()) << 32) | device();
  }
  return drawn;
}

}  // namespace het
