#include "kernels/server/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace het {
namespace {

using std::chrono::seconds;

TEST(OncePerMinute, TheFirstInAMinuteIsWrittenAndTheRestCounted) {
  OncePerMinute once;
  const OncePerMinute::Clock::time_point start{};
  std::int64_t passed_over = -1;
  EXPECT_TRUE(once.Admit("a", start, &passed_over));
  EXPECT_EQ(passed_over, 0);
  for (int second = 1; second < 60; ++second) {
    EXPECT_FALSE(once.Admit("a", start + seconds(second), &passed_over));
  }
  EXPECT_TRUE(once.Admit("b", start + seconds(3), &passed_over)) << "another kind";
  EXPECT_TRUE(once.Admit("a", start + seconds(60), &passed_over));
  EXPECT_EQ(passed_over, 59);
  EXPECT_FALSE(once.Admit("a", start + seconds(61), &passed_over));
}

TEST(OncePerMinute, MoreSourcesThanAreRememberedShareALine) {
  OncePerMinute once;
  const OncePerMinute::Clock::time_point start{};
  std::int64_t passed_over = 0, lines = 0;
  for (int source = 0; source < 20000; ++source) {
    lines += once.Admit(std::to_string(source), start, &passed_over) ? 1 : 0;
  }
  EXPECT_LE(lines, 4097);
  EXPECT_FALSE(once.Admit("0", start + seconds(1), &passed_over));
  EXPECT_TRUE(once.Admit("20001", start + seconds(60), &passed_over));
}

TEST(Log, NamesAreParsed) {
  LogLevel level;
  LogFormat format;
  EXPECT_TRUE(ParseLogLevel("warning", &level));
  EXPECT_EQ(level, LogLevel::kWarning);
  EXPECT_FALSE(ParseLogLevel("loud", &level));
  EXPECT_TRUE(ParseLogFormat("json", &format));
  EXPECT_EQ(format, LogFormat::kJson);
  EXPECT_FALSE(ParseLogFormat("xml", &format));
}

TEST(Log, ValuesCannotForgeALineOrAField) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    ConfigureLog(LogLevel::kInfo, format);
    testing::internal::CaptureStderr();
    Log(LogLevel::kWarning, "refused",
        {{"source", "10.0.0.7\" reason=\"none\nforged line"}, {"bytes", "\xff\xfe"}});
    Log(LogLevel::kDebug, "quiet", {});
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    EXPECT_NE(said.find(R"(10.0.0.7\" reason=\"none\nforged line)"),
              std::string::npos)
        << said;
    EXPECT_EQ(said.find("quiet"), std::string::npos);
    EXPECT_EQ(said.front() == '{', format == LogFormat::kJson) << said;
  }
  ConfigureLog(LogLevel::kInfo, LogFormat::kText);
}

}  // namespace
}  // namespace het
