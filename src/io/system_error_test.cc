#include "io/system_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace bitsnap {
namespace {

using ::testing::HasSubstr;

TEST(SystemErrorTest, KindsThatCallersActOn) {
  const std::pair<int, ErrorKind> cases[] = {
      {ENOSPC, ErrorKind::kOutOfSpace}, {EDQUOT, ErrorKind::kOutOfSpace},
      {ENOENT, ErrorKind::kNotFound},   {EEXIST, ErrorKind::kAlreadyExists},
      {EACCES, ErrorKind::kIo},         {EIO, ErrorKind::kIo},
  };
  for (const auto& [code, kind] : cases) {
    EXPECT_EQ(SystemFail(code, "write", "/a").value().kind, kind) << code;
  }
}

TEST(SystemErrorTest, MessageNamesPathOperationReasonAndRemedy) {
  EXPECT_EQ(SystemFail(ENOSPC, "write", "/a/b").value().message,
            "cannot write /a/b: No space left on device; free some space or choose another disk");
}

TEST(SystemErrorTest, WhatFileSystemsDoNotHave) {
  for (const int code : {EINVAL, ENOSYS, EOPNOTSUPP, ENOTSUP, ENOTTY}) {
    EXPECT_TRUE(IsUnsupported(code) && IsLinkUnsupported(code)) << code;
  }
  for (const int code : {EPERM, EMLINK, EXDEV}) {
    EXPECT_TRUE(!IsUnsupported(code) && IsLinkUnsupported(code)) << code;
  }
  for (const int code : {EIO, ENOSPC, EDQUOT, EACCES, EEXIST, ENOENT, EROFS, EMFILE}) {
    EXPECT_FALSE(IsUnsupported(code) || IsLinkUnsupported(code)) << code;
  }
}

}  // namespace
}  // namespace bitsnap
