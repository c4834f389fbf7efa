// ComponentSpec: an optimizer or an initializer by name, with its parameters,
// in the form in which it crosses the wire: {"adagrad", {{"epsilon", 1e-7}}}.
//
// A plain value. Unknown names and parameters are refused where the component
// is made, with a message that lists the known ones.

#ifndef HET_TF_KERNELS_BASE_COMPONENT_SPEC_H_
#define HET_TF_KERNELS_BASE_COMPONENT_SPEC_H_

#include <map>
#include <string>

namespace het {

struct ComponentSpec {
  std::string name;
  std::map<std::string, double> parameters;

  bool operator==(const ComponentSpec& other) const {
    return name == other.name && parameters == other.parameters;
  }
  bool operator!=(const ComponentSpec& other) const {
    return !(*this == other);
  }
};

// "adagrad(epsilon=1e-07, initial_accumulator_value=0.1)"
std::string ToString(const ComponentSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_COMPONENT_SPEC_H_
