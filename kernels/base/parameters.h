// ParameterReader: checks a component's parameters against the known ones and
// reads them with their defaults.
//
// A short-lived value used by the factories of optimizers and initializers.

#ifndef HET_TF_KERNELS_BASE_PARAMETERS_H_
#define HET_TF_KERNELS_BASE_PARAMETERS_H_

#include <map>
#include <string>

#include "kernels/base/component_spec.h"
#include "kernels/base/status.h"

namespace het {

class ParameterReader {
 public:
  // `kind` is "optimizer" or "initializer", for messages; `defaults` lists all
  // parameters the component has.
  ParameterReader(const std::string& kind, const ComponentSpec& spec,
                  std::map<std::string, double> defaults);

  // INVALID_ARGUMENT when the spec has a parameter that is not in `defaults`,
  // or one that is not finite.
  const Status& status() const { return status_; }

  // REQUIRES: status().ok(), and `name` is in `defaults`.
  float Get(const std::string& name) const {
    return static_cast<float>(values_.at(name));
  }
  // As given, for what is computed from it before it is rounded.
  double GetDouble(const std::string& name) const { return values_.at(name); }

  // INVALID_ARGUMENT that names component, parameter and value.
  Status Refuse(const std::string& name, const std::string& expected) const;

 private:
  std::string component_;
  std::map<std::string, double> values_;
  Status status_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_PARAMETERS_H_
