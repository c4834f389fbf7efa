#include "kernels/initializer/initializer.h"

#include <algorithm>

#include "kernels/base/parameters.h"
#include "kernels/initializer/random_bits.h"

namespace het {
namespace {

class Constant final : public Initializer {
 public:
  explicit Constant(float value) : value_(value) {}
  void Fill(TableId, RowId, std::size_t dimension, float* row) const override {
    std::fill_n(row, dimension, value_);
  }

 private:
  const float value_;
};

class Uniform final : public Initializer {
 public:
  Uniform(std::uint64_t seed, double minimum, double maximum)
      : seed_(seed), minimum_(minimum), width_(maximum - minimum) {}

  void Fill(TableId table, RowId id, std::size_t dimension,
            float* row) const override {
    RowBits bits(seed_, table, id);
    for (std::size_t i = 0; i < dimension; ++i) {
      row[i] = static_cast<float>(minimum_ + width_ * ToUnit(bits.Next()));
    }
  }

 private:
  const std::uint64_t seed_;
  const double minimum_;
  const double width_;
};

// With `truncated`, values farther than two standard deviations from the mean
// are drawn again.
class Normal final : public Initializer {
 public:
  Normal(std::uint64_t seed, double mean, double stddev, bool truncated)
      : seed_(seed), mean_(mean), stddev_(stddev), truncated_(truncated) {}

  void Fill(TableId table, RowId id, std::size_t dimension,
            float* row) const override {
    RowBits bits(seed_, table, id);
    for (std::size_t i = 0; i < dimension; ++i) {
      double z = InverseNormal(ToUnit(bits.Next()));
      while (truncated_ && (z < -2.0 || z > 2.0)) {
        z = InverseNormal(ToUnit(bits.Next()));
      }
      row[i] = static_cast<float>(mean_ + stddev_ * z);
    }
  }

 private:
  const std::uint64_t seed_;
  const double mean_;
  const double stddev_;
  const bool truncated_;
};

using Made = Result<std::unique_ptr<const Initializer>>;

Made Make(const Initializer* initializer) {
  return std::unique_ptr<const Initializer>(initializer);
}

}  // namespace

Made CreateInitializer(const ComponentSpec& spec, std::uint64_t seed) {
  const std::string kind = "initializer";
  if (spec.name == "zeros") {
    HET_RETURN_IF_ERROR(ParameterReader(kind, spec, {}).status());
    return Make(new Constant(0.0f));
  }
  if (spec.name == "constant") {
    const ParameterReader reader(kind, spec, {{"value", 0.0}});
    HET_RETURN_IF_ERROR(reader.status());
    return Make(new Constant(reader.Get("value")));
  }
  if (spec.name == "uniform") {
    const ParameterReader reader(kind, spec,
                                 {{"minval", -0.05}, {"maxval", 0.05}});
    HET_RETURN_IF_ERROR(reader.status());
    if (reader.Get("maxval") < reader.Get("minval")) {
      return reader.Refuse("maxval", "at least minval");
    }
    return Make(new Uniform(seed, reader.Get("minval"), reader.Get("maxval")));
  }
  if (spec.name == "normal" || spec.name == "truncated_normal") {
    const ParameterReader reader(kind, spec, {{"mean", 0.0}, {"stddev", 0.05}});
    HET_RETURN_IF_ERROR(reader.status());
    if (reader.Get("stddev") < 0) return reader.Refuse("stddev", "at least 0");
    return Make(new Normal(seed, reader.Get("mean"), reader.Get("stddev"),
                           spec.name == "truncated_normal"));
  }
  return InvalidArgument(
      "unknown initializer '", spec.name,
      "'; known are: constant, normal, truncated_normal, uniform, zeros");
}

}  // namespace het
