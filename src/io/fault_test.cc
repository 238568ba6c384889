#include "io/fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/try.h"
#include "io/memory.h"

namespace bitsnap {
namespace {

using ::testing::HasSubstr;

// Each operation once: 15 in all.
Result<void> UseEverything(FileSystem& files) {
  BITSNAP_TRY(files.CreateDirectory("/d"));
  BITSNAP_ASSIGN(auto writer, files.Create("/d/f"));
  BITSNAP_TRY(writer->Append(AsBytes("abcd")));
  BITSNAP_TRY(writer->Sync());
  BITSNAP_TRY(writer->Close());
  BITSNAP_TRY(files.SyncDirectory("/d"));
  BITSNAP_TRY(files.Rename("/d/f", "/d/g"));
  BITSNAP_TRY(files.RenameNoReplace("/d/g", "/d/h"));
  BITSNAP_TRY(files.Link("/d/h", "/d/i"));
  BITSNAP_TRY(files.Remove("/d/h"));
  BITSNAP_TRY(files.Type("/d/i"));
  BITSNAP_TRY(files.Status("/d/i"));
  BITSNAP_TRY(files.List("/d"));
  BITSNAP_ASSIGN(auto reader, files.Open("/d/i"));
  std::byte out[4];
  return reader->Read(0, out);
}

TEST(FaultFileSystemTest, CountsEveryOperation) {
  MemoryFileSystem memory;
  FaultFileSystem files(&memory);
  ASSERT_TRUE(UseEverything(files));
  EXPECT_EQ(files.operations(), 15u);
}

TEST(FaultFileSystemTest, EachOperationFailsInItsTurn) {
  for (uint64_t n = 1; n <= 15; ++n) {
    MemoryFileSystem memory;
    FaultFileSystem files(&memory);
    files.Set(Fault{.at = n, .kind = ErrorKind::kOutOfSpace});
    const auto result = UseEverything(files);
    ASSERT_FALSE(result) << n;
    EXPECT_EQ(result.error().kind, ErrorKind::kOutOfSpace);
    EXPECT_THAT(result.error().message, HasSubstr("/d"));
    EXPECT_EQ(files.operations(), n);
  }
}

TEST(FaultFileSystemTest, OneFaultPassesAndALastingOneStays) {
  MemoryFileSystem memory;
  FaultFileSystem files(&memory);
  files.Set(Fault{.at = 1});
  EXPECT_FALSE(files.CreateDirectory("/a"));
  EXPECT_TRUE(files.CreateDirectory("/a"));
  files.Set(Fault{.at = 2, .lasting = true});
  EXPECT_TRUE(files.CreateDirectory("/b"));
  EXPECT_FALSE(files.CreateDirectory("/c"));
  EXPECT_FALSE(files.CreateDirectory("/c"));
  files.Set(std::nullopt);
  EXPECT_TRUE(files.CreateDirectory("/c"));
}

TEST(FaultFileSystemTest, ShortWriteLeavesHalf) {
  MemoryFileSystem memory;
  FaultFileSystem files(&memory);
  auto writer = *files.Create("/f");
  files.Set(Fault{.at = 1, .kind = ErrorKind::kOutOfSpace, .short_write = true});
  EXPECT_FALSE(writer->Append(AsBytes("abcdef")));
  EXPECT_EQ((*files.Open("/f"))->size(), 3u);
}

}  // namespace
}  // namespace bitsnap
