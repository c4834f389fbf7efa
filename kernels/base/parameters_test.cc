// ParameterReader and ComponentSpec: known names, defaults, clear refusals.

#include "kernels/base/parameters.h"

#include <gtest/gtest.h>

#include <limits>

namespace het {
namespace {

TEST(ParameterReader, GivesDefaultsAndWhatWasSet) {
  const ParameterReader reader("optimizer", {"adagrad", {{"epsilon", 0.5}}},
                               {{"epsilon", 1e-7}, {"rate", 0.25}});
  ASSERT_TRUE(reader.status().ok());
  EXPECT_EQ(reader.Get("epsilon"), 0.5f);
  EXPECT_EQ(reader.Get("rate"), 0.25f);
  const ParameterReader beta("optimizer", {"adam", {{"beta", 0.999}}},
                             {{"beta", 0}});
  EXPECT_EQ(beta.Get("beta"), 0.999f);
  EXPECT_EQ(beta.GetDouble("beta"), 0.999);
}

TEST(ParameterReader, RefusesAnUnknownNameAndListsTheKnownOnes) {
  const ParameterReader reader("optimizer", {"adagrad", {{"momentum", 1}}},
                               {{"epsilon", 1e-7}, {"rate", 0.25}});
  EXPECT_EQ(reader.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(reader.status().message(),
            "optimizer 'adagrad' has no parameter 'momentum'; it has: epsilon, "
            "rate");
  const ParameterReader none("optimizer", {"sgd", {{"momentum", 1}}}, {});
  EXPECT_EQ(none.status().message(),
            "optimizer 'sgd' has no parameter 'momentum'; it has: none");
}

TEST(ParameterReader, RefusesWhatIsNotFinite) {
  for (const double value : {std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()}) {
    const ParameterReader reader("initializer", {"constant", {{"value", value}}},
                                 {{"value", 0}});
    EXPECT_EQ(reader.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(reader.status().message().find("a finite number"),
              std::string::npos);
  }
}

TEST(ParameterReader, RefusalsNameComponentParameterAndValue) {
  const ParameterReader reader("initializer", {"normal", {{"stddev", -2}}},
                               {{"stddev", 0.05}});
  EXPECT_EQ(reader.Refuse("stddev", "at least 0").message(),
            "parameter 'stddev' of initializer 'normal' is -2, expected at "
            "least 0");
}

TEST(ComponentSpec, PrintsAndComparesByNameAndParameters) {
  const ComponentSpec spec{"adagrad", {{"epsilon", 0.5}, {"b", 2}}};
  EXPECT_EQ(ToString(spec), "adagrad(b=2, epsilon=0.5)");
  EXPECT_EQ(ToString({"sgd", {}}), "sgd()");
  EXPECT_EQ(spec, (ComponentSpec{"adagrad", {{"b", 2}, {"epsilon", 0.5}}}));
  EXPECT_NE(spec, (ComponentSpec{"adagrad", {{"epsilon", 0.5}}}));
  EXPECT_NE(spec, (ComponentSpec{"sgd", spec.parameters}));
}

}  // namespace
}  // namespace het
