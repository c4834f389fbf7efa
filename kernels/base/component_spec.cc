#include "kernels/base/component_spec.h"

#include <sstream>

namespace het {

std::string ToString(const ComponentSpec& spec) {
  std::ostringstream out;
  out << spec.name << "(";
  const char* separator = "";
  for (const auto& [name, value] : spec.parameters) {
    out << separator << name << "=" << value;
    separator = ", ";
  }
  out << ")";
  return out.str();
}

}  // namespace het
