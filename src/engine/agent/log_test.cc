#include "engine/agent/log.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "io/test_directory.h"

namespace bitsnap::agent {
namespace {

using testing::HasSubstr;

std::string Content(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class LogTest : public testing::Test {
 protected:
  const TestDirectory directory_;
  const std::filesystem::path path_ = directory_.path() / "a.log";
};

TEST_F(LogTest, EachLineIsInTheFileAtOnce) {
  Log log(path_);
  log.Tell("rank 0 came");
  EXPECT_THAT(Content(path_), HasSubstr("info: rank 0 came\n"));
  log.Warn("{} is no format");
  EXPECT_THAT(Content(path_), HasSubstr("warning: {} is no format\n"));
}

TEST_F(LogTest, GoesUnlessSomethingWentWrong) {
  {
    Log log(path_);
    log.Tell("all is well");
    log.End();
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
  Log log(path_);
  log.Warn("all is lost");
  log.End();
  log.Tell("nobody hears this");
  EXPECT_THAT(Content(path_), HasSubstr("all is lost"));
}

TEST_F(LogTest, IsAppendedToByTheNextAgent) {
  Log(path_).Warn("first");
  Log(path_).Tell("second");
  EXPECT_THAT(Content(path_), testing::ContainsRegex("first\n.*second\n"));
}

TEST_F(LogTest, TakesTwoFilesOfOneMebibyte) {
  Log log(path_);
  for (int i = 0; i < 40; ++i) log.Tell(std::string(size_t{100} << 10, 'x'));
  uintmax_t bytes = 0, files = 0;
  for (const auto& each : std::filesystem::directory_iterator(directory_.path())) {
    bytes += each.file_size();
    ++files;
  }
  EXPECT_EQ(files, 2u);
  EXPECT_LE(bytes, uintmax_t{2} << 20);
  log.End();
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(LogTest, WhereNoFileCanBeItIsSilent) {
  Log log(directory_.path() / "no" / std::string(300, 'x') / "a.log");
  log.Warn("nobody hears this");
  log.End();
}

}  // namespace
}  // namespace bitsnap::agent
