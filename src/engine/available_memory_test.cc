#include "engine/available_memory.h"

#include <gmock/gmock.h>

#include <fstream>
#include <limits>

#include "engine/arena.h"
#include "io/test_directory.h"

namespace bitsnap {
namespace {

using testing::HasSubstr;

// A machine's /proc and /sys as far as they are looked at.
class AvailableMemoryTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories((root_.path() / path).parent_path());
    std::ofstream(root_.path() / path) << content;
  }
  uint64_t Available() const { return AvailableMemory(root_.path()); }

  const TestDirectory root_;
};

TEST_F(AvailableMemoryTest, TheMachines) {
  EXPECT_EQ(Available(), std::numeric_limits<uint64_t>::max());  // nobody says
  Write("proc/meminfo", "MemTotal: 9 kB\nMemFree:  1 kB\nMemAvailable:    5 kB\nBuffers: 2 kB\n");
  EXPECT_EQ(Available(), 5 << 10);
}

TEST_F(AvailableMemoryTest, AGroupOfVersion2AndThoseAboveIt) {
  Write("proc/meminfo", "MemAvailable: 1000 kB\n");
  Write("proc/self/cgroup", "0::/user/job\n");
  Write("sys/fs/cgroup/user/job/memory.max", "max\n");
  Write("sys/fs/cgroup/user/job/memory.current", "700\n");
  EXPECT_EQ(Available(), 1'024'000);
  Write("sys/fs/cgroup/user/memory.max", "1000\n");
  Write("sys/fs/cgroup/user/memory.current", "900\n");
  EXPECT_EQ(Available(), 100);
  Write("sys/fs/cgroup/user/memory.stat", "anon 1\ninactive_file 50\nactive_file 7\n");
  EXPECT_EQ(Available(), 150);  // pages of files can go
  Write("sys/fs/cgroup/user/job/memory.max", "720\n");
  EXPECT_EQ(Available(), 20);
  Write("sys/fs/cgroup/user/job/memory.current", "800\n");  // above its limit
  EXPECT_EQ(Available(), 0);
}

TEST_F(AvailableMemoryTest, AGroupOfVersion1InAContainerThatSeesItsTopOnly) {
  Write("proc/meminfo", "MemAvailable: 1000 kB\n");
  Write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/docker/0123\n1:name=systemd:/b\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n");
  Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n");
  Write("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
  EXPECT_EQ(Available(), 1500);
}

TEST(CheckMemory, RefusesMoreThanThereIsAndSaysWhatToDo) {
  EXPECT_TRUE(CheckMemory(1));
  for (const Error& refused :
       {Arena::Map(uint64_t{1} << 50).error(), Arena::MapShared(uint64_t{1} << 50).error()}) {
    EXPECT_EQ(refused.kind, ErrorKind::kOutOfMemory);
    EXPECT_THAT(refused.message, HasSubstr("lower max_memory"));
  }
}

}  // namespace
}  // namespace bitsnap
