#include "io/memory.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace bitsnap {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PowerCutTest : public ::testing::Test {
 protected:
  std::unique_ptr<WritableFile> Create(const char* path) { return *files_.Create(path); }
  uint64_t SizeOf(const char* path) { return (*files_.Open(path))->size(); }

  MemoryFileSystem files_;
};

TEST_F(PowerCutTest, ContentReturnsToTheLastSync) {
  auto file = Create("/f");
  ASSERT_TRUE(file->Append(AsBytes("abc")));
  ASSERT_TRUE(file->Sync());
  ASSERT_TRUE(file->Append(AsBytes("lost")));
  ASSERT_TRUE(files_.SyncDirectory("/"));
  EXPECT_EQ(SizeOf("/f"), 7u);
  files_.PowerCut();
  EXPECT_EQ(SizeOf("/f"), 3u);
}

TEST_F(PowerCutTest, DurableNameOfContentNeverSyncedIsEmpty) {
  ASSERT_TRUE(Create("/f")->Append(AsBytes("lost")));
  ASSERT_TRUE(files_.SyncDirectory("/"));
  files_.PowerCut();
  EXPECT_EQ(SizeOf("/f"), 0u);
}

TEST_F(PowerCutTest, EntriesReturnToTheLastSyncDirectory) {
  Create("/kept");
  Create("/old-name");
  Create("/removed");
  ASSERT_TRUE(files_.SyncDirectory("/"));
  Create("/lost");
  ASSERT_TRUE(files_.Rename("/old-name", "/new-name"));
  ASSERT_TRUE(files_.Link("/kept", "/linked"));
  ASSERT_TRUE(files_.Remove("/removed"));
  files_.PowerCut();
  EXPECT_THAT(*files_.List("/"), ElementsAre("kept", "old-name", "removed"));
}

TEST_F(PowerCutTest, EachDirectoryNeedsItsOwnSync) {
  ASSERT_TRUE(files_.CreateDirectory("/d"));
  Create("/d/f");
  ASSERT_TRUE(files_.SyncDirectory("/"));
  files_.PowerCut();
  EXPECT_THAT(*files_.List("/d"), IsEmpty());

  Create("/d/f");
  ASSERT_TRUE(files_.SyncDirectory("/d"));
  files_.PowerCut();
  EXPECT_THAT(*files_.List("/d"), ElementsAre("f"));
}

TEST_F(PowerCutTest, EachChangeMayHaveReachedTheDisk) {
  Create("/old");
  ASSERT_TRUE(files_.SyncDirectory("/"));
  ASSERT_TRUE(files_.Remove("/old"));
  ASSERT_TRUE(Create("/new")->Append(AsBytes("abc")));
  int asked = 0;
  // Of "/": the entry of the new file and the loss of the old one; then the new file's content.
  files_.PowerCut([&] { return ++asked != 2; });
  EXPECT_EQ(asked, 3);
  EXPECT_THAT(*files_.List("/"), ElementsAre("new", "old"));
  EXPECT_EQ((*files_.Open("/new"))->size(), 3u);
  files_.PowerCut();
  EXPECT_THAT(*files_.List("/"), ElementsAre("new", "old"));
}

TEST_F(PowerCutTest, OpenReaderOfLostContentIsTruncated) {
  auto file = Create("/f");
  ASSERT_TRUE(file->Append(AsBytes("abc")));
  ASSERT_TRUE(files_.SyncDirectory("/"));
  auto reader = *files_.Open("/f");
  files_.PowerCut();
  std::byte out[3];
  const auto read = reader->Read(0, out);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kTruncated);
}

TEST(MemoryFileSystemTest, PathsAreNormalized) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory("d/"));
  ASSERT_TRUE(files.Create("d/../d/./f"));
  EXPECT_EQ(files.Type("/d/f"), FileType::kFile);
  EXPECT_FALSE(files.Remove("/"));
}

TEST(MemoryFileSystemTest, FilesOutliveTheFileSystem) {
  auto files = std::make_unique<MemoryFileSystem>();
  auto writer = *files->Create("/f");
  auto reader = *files->Open("/f");
  files.reset();
  EXPECT_TRUE(writer->Append(AsBytes("abc")));
  EXPECT_TRUE(reader->Read(0, {}));
}

TEST(MemoryFileSystemTest, ThreadsWorkSideBySide) {
  MemoryFileSystem files;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&files, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string name = fmt::format("/{}-{}", t, i);
        auto file = files.Create(name);
        ASSERT_TRUE(file);
        ASSERT_TRUE((*file)->Append(AsBytes(name)));
        ASSERT_TRUE(files.Rename(name, name + "-done"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(files.List("/")->size(), 400u);
}

}  // namespace
}  // namespace bitsnap
