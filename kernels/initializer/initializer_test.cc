// Initial rows: fixed bits for (seed, table, id), the distributions they are
// drawn from, and refusals.

#include "kernels/initializer/initializer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "kernels/initializer/random_bits.h"

namespace het {
namespace {

constexpr RowId kLowest = std::numeric_limits<RowId>::min();

std::unique_ptr<const Initializer> Make(const ComponentSpec& spec,
                                        std::uint64_t seed) {
  auto initializer = CreateInitializer(spec, seed);
  EXPECT_TRUE(initializer.ok()) << initializer.status().ToString();
  return std::move(initializer).Take();
}

std::vector<float> Row(const Initializer& initializer, RowId id,
                       std::size_t dimension, TableId table = 1) {
  std::vector<float> row(dimension);
  initializer.Fill(table, id, dimension, row.data());
  return row;
}

struct Golden {
  std::uint64_t seed;
  RowId id;
  std::uint32_t uniform[3];
  std::uint32_t normal[3];
};

// Computed apart from this code (Python: integers, IEEE doubles, and
// statistics.NormalDist for the normal quantiles), for the table "user_id".
constexpr Golden kGolden[] = {
    {0, 0, {0xbb9206b3, 0xbc60ce7f, 0xbc639c0a},
     {0xbbb76622, 0xbc8fc67c, 0xbc91a518}},
    {42, 7, {0xbd0d5b9d, 0xbc5fbc58, 0xbc8420a3},
     {0xbd500384, 0xbc8f0fd3, 0xbcaa62e1}},
    {42, -7, {0x3c14cef6, 0xbcabc696, 0x3bf18c47},
     {0x3c3c250f, 0xbce24aca, 0x3c183d50}},
    {std::uint64_t{1} << 63, kLowest, {0xbc966660, 0x3a5182c7, 0x3ced7268},
     {0xbcc3b1fd, 0x3a834cdc, 0x3d250cd0}},
    {3, (RowId{1} << 53) + 1, {0x3cb54a1e, 0xbd3275af, 0xbc9a21af},
     {0x3cf050fa, 0xbd9b9b11, 0xbcc8f433}},
};

std::uint32_t Bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

TEST(Initializer, BitsAreFixedForSeedTableAndId) {
  const TableId table = HashName("user_id");
  for (const Golden& golden : kGolden) {
    const auto uniform = Row(*Make({"uniform", {}}, golden.seed), golden.id, 3,
                             table);
    const auto normal = Row(*Make({"normal", {}}, golden.seed), golden.id, 3,
                            table);
    for (std::size_t d = 0; d < 3; ++d) {
      EXPECT_EQ(Bits(uniform[d]), golden.uniform[d])
          << "seed " << golden.seed << " id " << golden.id;
      EXPECT_EQ(Bits(normal[d]), golden.normal[d])
          << "seed " << golden.seed << " id " << golden.id;
    }
  }
}

TEST(Initializer, ALongerRowBeginsLikeAShorterOne) {
  for (const char* name : {"uniform", "normal", "truncated_normal"}) {
    const auto initializer = Make({name, {}}, 5);
    std::vector<float> longer = Row(*initializer, 3, 64);
    longer.resize(16);
    EXPECT_EQ(longer, Row(*initializer, 3, 16)) << name;
  }
}

TEST(Initializer, SeedTableAndIdAllMatter) {
  std::set<std::vector<float>> rows;
  for (const std::uint64_t seed : {0, 1, 2}) {
    for (const TableId table : {1, 2, 3}) {
      for (const RowId id : {kLowest, RowId{-1}, RowId{0}, RowId{1},
                             (RowId{1} << 53), (RowId{1} << 53) + 1}) {
        rows.insert(Row(*Make({"uniform", {}}, seed), id, 4, table));
      }
    }
  }
  EXPECT_EQ(rows.size(), 3u * 3u * 6u);
}

TEST(Initializer, ConstantsFillRows) {
  EXPECT_EQ(Row(*Make({"zeros", {}}, 1), 5, 3), std::vector<float>(3));
  EXPECT_EQ(Row(*Make({"constant", {{"value", 2.5}}}, 1), 5, 3),
            std::vector<float>(3, 2.5f));
  EXPECT_EQ(Row(*Make({"constant", {}}, 1), 5, 3), std::vector<float>(3));
}

struct Moments {
  double mean = 0, deviation = 0, least = 1e9, most = -1e9;
  double skewness = 0;
};

Moments Measure(const ComponentSpec& spec) {
  const auto initializer = Make(spec, 9);
  std::vector<double> values;
  for (RowId id = 0; id < 20000; ++id) {
    for (const float value : Row(*initializer, id, 8)) values.push_back(value);
  }
  Moments moments;
  for (const double value : values) {
    moments.mean += value / static_cast<double>(values.size());
    moments.least = std::min(moments.least, value);
    moments.most = std::max(moments.most, value);
  }
  double square = 0, cube = 0;
  for (const double value : values) {
    square += std::pow(value - moments.mean, 2);
    cube += std::pow(value - moments.mean, 3);
  }
  const auto count = static_cast<double>(values.size());
  moments.deviation = std::sqrt(square / count);
  moments.skewness = cube / count / std::pow(moments.deviation, 3);
  return moments;
}

TEST(Initializer, UniformHasItsMomentsAndBounds) {
  const Moments m = Measure({"uniform", {{"minval", -1}, {"maxval", 3}}});
  EXPECT_NEAR(m.mean, 1, 0.01);
  EXPECT_NEAR(m.deviation, 4 / std::sqrt(12.0), 0.01);
  EXPECT_NEAR(m.skewness, 0, 0.02);
  EXPECT_GE(m.least, -1);
  EXPECT_LT(m.least, -0.999);
  EXPECT_LE(m.most, 3);
  EXPECT_GT(m.most, 2.999);
}

TEST(Initializer, UniformDefaultsAreKeras) {
  const Moments m = Measure({"uniform", {}});
  EXPECT_GE(m.least, -0.0500001);
  EXPECT_LE(m.most, 0.0500001);
  EXPECT_NEAR(m.deviation, 0.1 / std::sqrt(12.0), 1e-3);
}

TEST(Initializer, NormalHasItsMoments) {
  const Moments m = Measure({"normal", {{"mean", 2}, {"stddev", 0.5}}});
  EXPECT_NEAR(m.mean, 2, 0.01);
  EXPECT_NEAR(m.deviation, 0.5, 0.005);
  EXPECT_NEAR(m.skewness, 0, 0.03);
  EXPECT_GT(m.most, 2 + 3.5 * 0.5);
  EXPECT_LT(m.least, 2 - 3.5 * 0.5);
}

TEST(Initializer, TruncatedNormalStaysWithinTwoDeviations) {
  const Moments m = Measure({"truncated_normal", {{"stddev", 0.5}}});
  EXPECT_NEAR(m.mean, 0, 0.01);
  EXPECT_NEAR(m.deviation, 0.5 * 0.87962566, 0.005);  // of the cut normal
  EXPECT_GE(m.least, -1.000001);
  EXPECT_LE(m.most, 1.000001);
  EXPECT_LT(m.least, -0.99);
  EXPECT_GT(m.most, 0.99);
}

TEST(Initializer, InverseNormalInvertsTheDistribution) {
  for (double z = -7.5; z <= 7.5; z += 0.125) {
    // erfc keeps the digits of the tail it is asked for.
    const double p = z < 0 ? 0.5 * std::erfc(-z / std::sqrt(2.0))
                           : 1 - 0.5 * std::erfc(z / std::sqrt(2.0));
    // Near 1 a double cannot say p well enough.
    if (z > 5) continue;
    EXPECT_NEAR(InverseNormal(p), z, 2e-8) << "z=" << z;
  }
  EXPECT_EQ(InverseNormal(0.5), 0);
}

TEST(Initializer, RefusesWhatCannotBe) {
  const auto refused = [](const ComponentSpec& spec, const char* text) {
    const Status status = CreateInitializer(spec, 0).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(text), std::string::npos)
        << status.ToString();
  };
  refused({"orthogonal", {}}, "orthogonal");
  refused({"orthogonal", {}}, "truncated_normal, uniform, zeros");
  refused({"zeros", {{"value", 1}}}, "value");
  refused({"uniform", {{"minval", 1}, {"maxval", 0}}}, "at least minval");
  refused({"normal", {{"stddev", -1}}}, "at least 0");
  refused({"truncated_normal", {{"stddev", -1}}}, "at least 0");
}

}  // namespace
}  // namespace het
