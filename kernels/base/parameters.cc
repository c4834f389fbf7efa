#include "kernels/base/parameters.h"

#include <cmath>
#include <utility>

namespace het {

ParameterReader::ParameterReader(const std::string& kind,
                                 const ComponentSpec& spec,
                                 std::map<std::string, double> defaults)
    : component_(kind + " '" + spec.name + "'"), values_(std::move(defaults)) {
  for (const auto& [name, value] : spec.parameters) {
    const auto known = values_.find(name);
    if (known == values_.end()) {
      std::string names;
      for (const auto& entry : values_) {
        names += (names.empty() ? "" : ", ") + entry.first;
      }
      status_ = InvalidArgument(component_, " has no parameter '", name,
                                "'; it has: ", names.empty() ? "none" : names);
      return;
    }
    if (!std::isfinite(value)) {
      known->second = value;
      status_ = Refuse(name, "a finite number");
      return;
    }
    known->second = value;
  }
}

Status ParameterReader::Refuse(const std::string& name,
                               const std::string& expected) const {
  return InvalidArgument("parameter '", name, "' of ", component_, " is ",
                         values_.at(name), ", expected ", expected);
}

}  // namespace het
