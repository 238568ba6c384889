// What every file system must do, run on each of them.
#include "io/file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <latch>
#include <thread>

#include "io/fault.h"
#include "io/memory.h"
#include "io/test_directory.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A file system and an empty directory on it.
class Place {
 public:
  virtual ~Place() = default;
  virtual FileSystem& files() = 0;
  virtual fs::path root() = 0;
};

class PosixPlace final : public Place {
 public:
  FileSystem& files() override { return PosixFileSystem(); }
  fs::path root() override { return directory_.path(); }

 private:
  TestDirectory directory_;
};

class MemoryPlace : public Place {
 public:
  FileSystem& files() override { return memory_; }
  fs::path root() override { return "/"; }

 private:
  MemoryFileSystem memory_;
};

// Without a fault it must behave as what it wraps.
class FaultPlace final : public MemoryPlace {
 public:
  FileSystem& files() override { return fault_; }

 private:
  FaultFileSystem fault_{&MemoryPlace::files()};
};

template <class T>
std::unique_ptr<Place> Make() {
  return std::make_unique<T>();
}

struct Param {
  const char* name;
  std::unique_ptr<Place> (*make)();
};

class FileSystemTest : public ::testing::TestWithParam<Param> {
 protected:
  fs::path At(const char* name) { return place_->root() / name; }

  void Write(const fs::path& path, std::string_view content) {
    auto file = files_.Create(path);
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_TRUE((*file)->Append(AsBytes(content)));
    ASSERT_TRUE((*file)->Sync());
    ASSERT_TRUE((*file)->Close());
  }

  std::string ReadAll(const fs::path& path) {
    auto file = files_.Open(path);
    if (!file) return file.error().message;
    std::string content((*file)->size(), '\0');
    const auto read = (*file)->Read(0, std::as_writable_bytes(std::span(content)));
    return read ? content : read.error().message;
  }

  const std::unique_ptr<Place> place_ = GetParam().make();
  FileSystem& files_ = place_->files();
};

template <class T>
void ExpectFails(const Result<T>& result, ErrorKind kind, const fs::path& path) {
  ASSERT_FALSE(result);
  EXPECT_EQ(ErrorKindName(result.error().kind), std::string(ErrorKindName(kind)));
  EXPECT_THAT(result.error().message, HasSubstr(path.string()));
}

TEST_P(FileSystemTest, WritesInPiecesAndReadsRanges) {
  auto file = files_.Create(At("f"));
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->Append(AsBytes("abc")));
  ASSERT_TRUE((*file)->Append({}));
  ASSERT_TRUE((*file)->Append(AsBytes("defg")));
  ASSERT_TRUE((*file)->Close());
  EXPECT_EQ(ReadAll(At("f")), "abcdefg");

  auto reader = files_.Open(At("f"));
  ASSERT_TRUE(reader);
  EXPECT_EQ((*reader)->size(), 7u);
  EXPECT_EQ((*reader)->path(), At("f"));
  std::string part(3, '\0');
  ASSERT_TRUE((*reader)->Read(2, std::as_writable_bytes(std::span(part))));
  EXPECT_EQ(part, "cde");
  EXPECT_TRUE((*reader)->Read(7, {}));
}

TEST_P(FileSystemTest, ReadPastTheEndIsTruncated) {
  Write(At("f"), "abcd");
  auto file = files_.Open(At("f"));
  ASSERT_TRUE(file);
  std::byte out[2];
  ExpectFails((*file)->Read(3, out), ErrorKind::kTruncated, At("f"));
  ExpectFails((*file)->Read(5, {}), ErrorKind::kTruncated, At("f"));
  ExpectFails((*file)->Read(UINT64_MAX, out), ErrorKind::kTruncated, At("f"));
}

TEST_P(FileSystemTest, CreateNeverReplaces) {
  Write(At("f"), "old");
  ASSERT_TRUE(files_.CreateDirectory(At("d")));
  ExpectFails(files_.Create(At("f")), ErrorKind::kAlreadyExists, At("f"));
  ExpectFails(files_.Create(At("d")), ErrorKind::kAlreadyExists, At("d"));
  ExpectFails(files_.CreateDirectory(At("f")), ErrorKind::kAlreadyExists, At("f"));
  ExpectFails(files_.CreateDirectory(At("d")), ErrorKind::kAlreadyExists, At("d"));
  EXPECT_EQ(ReadAll(At("f")), "old");
}

TEST_P(FileSystemTest, MissingParentsAreNotMade) {
  ExpectFails(files_.Create(At("d/f")), ErrorKind::kNotFound, At("d/f"));
  ExpectFails(files_.CreateDirectory(At("d/e")), ErrorKind::kNotFound, At("d/e"));
  ExpectFails(files_.SyncDirectory(At("d")), ErrorKind::kNotFound, At("d"));
  ExpectFails(files_.List(At("d")), ErrorKind::kNotFound, At("d"));
}

TEST_P(FileSystemTest, FileInTheMiddleOfAPath) {
  Write(At("f"), "");
  ExpectFails(files_.Create(At("f/g")), ErrorKind::kIo, At("f/g"));
  ExpectFails(files_.Open(At("f/g")), ErrorKind::kIo, At("f/g"));
  ExpectFails(files_.List(At("f")), ErrorKind::kIo, At("f"));
  ExpectFails(files_.SyncDirectory(At("f")), ErrorKind::kIo, At("f"));
  EXPECT_EQ(files_.Type(At("f/g")), FileType::kNone);
}

TEST_P(FileSystemTest, OpensOnlyFilesThatAreThere) {
  ASSERT_TRUE(files_.CreateDirectory(At("d")));
  ExpectFails(files_.Open(At("f")), ErrorKind::kNotFound, At("f"));
  ExpectFails(files_.Open(At("d")), ErrorKind::kIo, At("d"));
}

TEST_P(FileSystemTest, TypesAndListing) {
  EXPECT_THAT(*files_.List(place_->root()), IsEmpty());
  Write(At("b"), "");
  Write(At("a"), "");
  ASSERT_TRUE(files_.CreateDirectory(At("c")));
  Write(At("c/inner"), "");
  EXPECT_THAT(*files_.List(place_->root()), ElementsAre("a", "b", "c"));
  EXPECT_THAT(*files_.List(At("c")), ElementsAre("inner"));
  EXPECT_EQ(files_.Type(At("a")), FileType::kFile);
  EXPECT_EQ(files_.Type(At("c")), FileType::kDirectory);
  EXPECT_EQ(files_.Type(At("none")), FileType::kNone);
  EXPECT_EQ(files_.Type(place_->root()), FileType::kDirectory);
}

TEST_P(FileSystemTest, RenameReplaces) {
  Write(At("from"), "new");
  Write(At("to"), "old");
  ASSERT_TRUE(files_.Rename(At("from"), At("to")));
  EXPECT_EQ(ReadAll(At("to")), "new");
  EXPECT_EQ(files_.Type(At("from")), FileType::kNone);
  ExpectFails(files_.Rename(At("from"), At("to")), ErrorKind::kNotFound, At("from"));
}

TEST_P(FileSystemTest, RenameOfDirectories) {
  ASSERT_TRUE(files_.CreateDirectory(At("d")));
  ASSERT_TRUE(files_.CreateDirectory(At("full")));
  ASSERT_TRUE(files_.CreateDirectory(At("empty")));
  Write(At("d/f"), "content");
  Write(At("full/f"), "");
  Write(At("file"), "");
  ExpectFails(files_.Rename(At("d"), At("file")), ErrorKind::kIo, At("d"));
  ExpectFails(files_.Rename(At("file"), At("d")), ErrorKind::kIo, At("d"));
  ASSERT_FALSE(files_.Rename(At("d"), At("full")));
  ASSERT_TRUE(files_.Rename(At("d"), At("empty")));
  EXPECT_EQ(ReadAll(At("empty/f")), "content");
}

TEST_P(FileSystemTest, RenameNoReplaceKeepsWhatIsThere) {
  Write(At("from"), "new");
  Write(At("to"), "old");
  ASSERT_TRUE(files_.CreateDirectory(At("d")));
  ASSERT_TRUE(files_.CreateDirectory(At("e")));
  ExpectFails(files_.RenameNoReplace(At("from"), At("to")), ErrorKind::kAlreadyExists, At("to"));
  ExpectFails(files_.RenameNoReplace(At("d"), At("e")), ErrorKind::kAlreadyExists, At("e"));
  EXPECT_EQ(ReadAll(At("to")), "old");
  EXPECT_EQ(ReadAll(At("from")), "new");
  ASSERT_TRUE(files_.RenameNoReplace(At("from"), At("fresh")));
  ASSERT_TRUE(files_.RenameNoReplace(At("d"), At("fresh-d")));
  EXPECT_EQ(ReadAll(At("fresh")), "new");
  EXPECT_EQ(files_.Type(At("from")), FileType::kNone);
  EXPECT_EQ(files_.Type(At("fresh-d")), FileType::kDirectory);
}

// Around the sizes at which buffers are full, in pieces that no disk's blocks fit.
TEST_P(FileSystemTest, LargeFilesComeBackWhole) {
  constexpr size_t kBuffer = size_t{4} << 20;
  for (const size_t bytes : {kBuffer - 1, kBuffer, kBuffer + 1, 2 * kBuffer + 4096, 3 * kBuffer}) {
    std::string content(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(i * 2654435761u >> 13);
    const fs::path path = At(std::to_string(bytes).c_str());
    auto file = files_.Create(path);
    ASSERT_TRUE(file);
    for (size_t done = 0, piece = 1; done < bytes; done += piece, piece = piece * 3 + 1) {
      piece = std::min(piece, bytes - done);
      ASSERT_TRUE((*file)->Append(AsBytes(content).subspan(done, piece)));
    }
    ASSERT_TRUE((*file)->Sync());
    EXPECT_TRUE(ReadAll(path) == content) << bytes;
    ASSERT_TRUE((*file)->Append(AsBytes("more")));
    ASSERT_TRUE((*file)->Close());
    EXPECT_TRUE(ReadAll(path) == content + "more") << bytes;
  }
}

TEST_P(FileSystemTest, HardLinksShareContent) {
  auto file = files_.Create(At("a"));
  ASSERT_TRUE(file);
  ASSERT_TRUE(files_.Link(At("a"), At("b")));
  ASSERT_TRUE((*file)->Append(AsBytes("written later")));
  ASSERT_TRUE((*file)->Sync());
  EXPECT_EQ(ReadAll(At("b")), "written later");

  // POSIX leaves both names when they are one file.
  ASSERT_TRUE(files_.Rename(At("a"), At("b")));
  EXPECT_EQ(files_.Type(At("a")), FileType::kFile);

  ASSERT_TRUE(files_.Remove(At("a")));
  EXPECT_EQ(ReadAll(At("b")), "written later");
}

TEST_P(FileSystemTest, StatusTellsOneFileByAllItsNames) {
  Write(At("a"), "abc");
  Write(At("other"), "");
  ASSERT_TRUE(files_.Link(At("a"), At("b")));
  const FileStatus a = *files_.Status(At("a")), b = *files_.Status(At("b"));
  EXPECT_EQ(a.type, FileType::kFile);
  EXPECT_EQ(a.bytes, 3u);
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.links, 2u);
  EXPECT_NE(files_.Status(At("other"))->id, a.id);
  const auto age = std::chrono::system_clock::now() - a.changed;
  EXPECT_LT(std::chrono::abs(age), std::chrono::minutes(1));
  EXPECT_EQ(files_.Status(place_->root())->type, FileType::kDirectory);
  ExpectFails(files_.Status(At("none")), ErrorKind::kNotFound, At("none"));
}

TEST_P(FileSystemTest, LinkRefusals) {
  Write(At("a"), "a");
  Write(At("b"), "b");
  ASSERT_TRUE(files_.CreateDirectory(At("d")));
  ExpectFails(files_.Link(At("a"), At("b")), ErrorKind::kAlreadyExists, At("b"));
  ExpectFails(files_.Link(At("none"), At("c")), ErrorKind::kNotFound, At("none"));
  ExpectFails(files_.Link(At("d"), At("c")), ErrorKind::kIo, At("d"));
  EXPECT_EQ(ReadAll(At("b")), "b");
}

TEST_P(FileSystemTest, Remove) {
  ASSERT_TRUE(files_.CreateDirectory(At("d")));
  Write(At("d/f"), "");
  ASSERT_FALSE(files_.Remove(At("d")));
  ASSERT_TRUE(files_.Remove(At("d/f")));
  ASSERT_TRUE(files_.Remove(At("d")));
  ExpectFails(files_.Remove(At("d")), ErrorKind::kNotFound, At("d"));
  EXPECT_THAT(*files_.List(place_->root()), IsEmpty());
}

TEST_P(FileSystemTest, OpenFileOutlivesItsName) {
  Write(At("f"), "still here");
  auto file = files_.Open(At("f"));
  ASSERT_TRUE(file);
  ASSERT_TRUE(files_.Remove(At("f")));
  std::string content(10, '\0');
  ASSERT_TRUE((*file)->Read(0, std::as_writable_bytes(std::span(content))));
  EXPECT_EQ(content, "still here");
}

TEST_P(FileSystemTest, ClosedFileTakesNothingMore) {
  auto file = files_.Create(At("f"));
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->Close());
  ExpectFails((*file)->Append(AsBytes("x")), ErrorKind::kIo, At("f"));
  ExpectFails((*file)->Sync(), ErrorKind::kIo, At("f"));
  ExpectFails((*file)->Close(), ErrorKind::kIo, At("f"));
}

TEST_P(FileSystemTest, FilesAreBeingWrittenUntilTheyAreClosed) {
  auto closed = files_.Create(At("closed")), dropped = files_.Create(At("dropped"));
  ASSERT_TRUE(closed && dropped);
  EXPECT_EQ(files_.IsBeingWritten(At("closed")), true);
  EXPECT_EQ(files_.IsBeingWritten(At("dropped")), true);
  ASSERT_TRUE((*closed)->Close());
  dropped->reset();
  EXPECT_EQ(files_.IsBeingWritten(At("closed")), false);
  EXPECT_EQ(files_.IsBeingWritten(At("dropped")), false);
  ExpectFails(files_.IsBeingWritten(At("none")), ErrorKind::kNotFound, At("none"));
}

TEST_P(FileSystemTest, OneAtATimeHasADirectoryLocked) {
  ExpectFails(files_.LockDirectory(At("none")), ErrorKind::kNotFound, At("none"));
  auto lock = files_.LockDirectory(place_->root());
  ASSERT_TRUE(lock);
  std::atomic<bool> locked = false;
  std::latch started(1);
  std::thread other([&] {
    started.count_down();
    const auto second = files_.LockDirectory(place_->root());
    EXPECT_TRUE(second && locked.load());
  });
  started.wait();
  Write(At("meanwhile"), "");  // others may be in the way; the lock is not
  locked = true;
  lock->reset();
  other.join();
}

TEST_P(FileSystemTest, SyncDirectorySucceeds) {
  Write(At("f"), "");
  EXPECT_TRUE(files_.SyncDirectory(place_->root()));
}

INSTANTIATE_TEST_SUITE_P(All, FileSystemTest,
                         ::testing::Values(Param{"Posix", &Make<PosixPlace>},
                                           Param{"Memory", &Make<MemoryPlace>},
                                           Param{"Fault", &Make<FaultPlace>}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(PosixFileSystemTest, RefusesWhatIsNoRegularFile) {
  PosixPlace place;
  const fs::path fifo = place.root() / "fifo";
  const fs::path link = place.root() / "link";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  fs::create_symlink("/etc/passwd", link);
  ExpectFails(place.files().Open(fifo), ErrorKind::kIo, fifo);  // must not block
  ExpectFails(place.files().Open(link), ErrorKind::kIo, link);
  ExpectFails(place.files().Create(link), ErrorKind::kAlreadyExists, link);
  EXPECT_EQ(place.files().Type(fifo), FileType::kOther);
  EXPECT_EQ(place.files().Type(link), FileType::kOther);
  EXPECT_EQ(place.files().Status(link)->type, FileType::kOther);
  const fs::path folder = place.root() / "folder";
  fs::create_directory_symlink("/etc", folder);
  ExpectFails(place.files().List(folder), ErrorKind::kIo, folder);
}

// As data loaders do: the child has copies of all descriptors, and lives longer than the lock.
TEST(PosixFileSystemTest, AForkedProcessKeepsNoLock) {
  PosixPlace place;
  auto lock = place.files().LockDirectory(place.root());
  auto file = place.files().Create(place.root() / "f");
  ASSERT_TRUE(lock && file);
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  ASSERT_TRUE((*file)->Close());
  lock->reset();
  EXPECT_EQ(place.files().IsBeingWritten(place.root() / "f"), false);
  EXPECT_TRUE(place.files().LockDirectory(place.root()));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(PosixFileSystemTest, AKilledProcessKeepsNoLock) {
  PosixPlace place;
  const fs::path path = place.root() / "f";
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = place.files().LockDirectory(place.root());
    const auto file = place.files().Create(path);
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  EXPECT_EQ(place.files().IsBeingWritten(path), false);
  EXPECT_TRUE(place.files().LockDirectory(place.root()));
}

TEST(PosixFileSystemTest, ShortenedFileIsTruncated) {
  PosixPlace place;
  const fs::path path = place.root() / "f";
  auto writer = place.files().Create(path);
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->Append(AsBytes("abcdef")));
  ASSERT_TRUE((*writer)->Close());
  auto reader = place.files().Open(path);
  ASSERT_TRUE(reader);
  fs::resize_file(path, 2);
  std::byte out[4];
  ExpectFails((*reader)->Read(0, out), ErrorKind::kTruncated, path);
}

}  // namespace
}  // namespace bitsnap
