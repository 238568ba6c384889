#include "engine/agent/address.h"

#include <gmock/gmock.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/agent/listener.h"
#include "io/test_directory.h"

namespace bitsnap::agent {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class AddressTest : public testing::Test {
 protected:
  AddressTest() {
    setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    fs::create_directory(store());
  }
  fs::path store() const { return root_.path() / "store"; }
  fs::path directory() const { return runtime_.path() / "bitsnap"; }
  std::string Refusal() const {
    const auto address = AddressOf(store());
    return address ? "" : address.error().message;
  }

  const TestDirectory runtime_, root_;
};

TEST_F(AddressTest, IsTheSameForAllWaysToAStoreAndAnotherForEachStore) {
  const auto address = AddressOf(store());
  ASSERT_TRUE(address) << address.error().message;
  EXPECT_EQ(address->directory, directory());
  EXPECT_THAT(address->socket.filename().string(), testing::MatchesRegex("[0-9a-f]{16}\\.sock"));
  fs::create_symlink(store(), root_.path() / "link");
  EXPECT_EQ(AddressOf(root_.path() / "link")->socket, address->socket);
  EXPECT_EQ(AddressOf(root_.path() / "store/../store/")->socket, address->socket);
  EXPECT_NE(AddressOf(root_.path())->socket, address->socket);
  struct stat status;
  ASSERT_EQ(stat(directory().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(AddressTest, WithoutARuntimeDirectoryOfOursItIsInTmp) {
  const fs::path in_tmp = "/tmp/bitsnap-" + std::to_string(geteuid());
  for (const char* value : {"", "relative", "/nowhere/at/all", "/dev/null"}) {
    setenv("XDG_RUNTIME_DIR", value, 1);
    EXPECT_EQ(AddressOf(store())->directory, in_tmp) << value;
  }
  unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(AddressOf(store())->directory, in_tmp);
  rmdir(in_tmp.c_str());  // unless something else is in it
}

TEST_F(AddressTest, ADirectoryThatOthersCanReachIsRefused) {
  for (const mode_t mode : {0755, 0701, 0770}) {
    ASSERT_EQ(mkdir(directory().c_str(), 0700), 0);
    ASSERT_EQ(chmod(directory().c_str(), mode), 0);
    EXPECT_THAT(Refusal(), HasSubstr("is open to other users"));
    fs::remove(directory());
  }
  fs::create_directory(runtime_.path() / "elsewhere");
  fs::create_symlink(runtime_.path() / "elsewhere", directory());
  EXPECT_THAT(Refusal(), HasSubstr("is not a directory"));
  fs::remove(directory());
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  ASSERT_EQ(mkdir(directory().c_str(), 0700), 0);
  ASSERT_EQ(chown(directory().c_str(), 65534, 65534), 0);
  EXPECT_THAT(Refusal(), HasSubstr("belongs to another user"));
}

// A name of ours in /tmp that another user took costs nothing but that name.
TEST_F(AddressTest, ANameThatAnotherUserTookIsPassedOver) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  constexpr uid_t kUser = 1'234'567;
  const fs::path taken = "/tmp/bitsnap-" + std::to_string(kUser), other = taken.string() + "-1";
  fs::remove(other);
  fs::create_directory(taken);  // root's
  fs::permissions(root_.path(), fs::perms::all);
  const pid_t child = fork();
  if (child == 0) {
    unsetenv("XDG_RUNTIME_DIR");
    if (setuid(kUser) != 0) _exit(2);
    const auto listener = Listener::Start(root_.path());
    const bool other_name = listener && *listener && (*listener)->address().directory == other;
    // It stays the one when the name is free again.
    _exit(other_name && AddressOf(root_.path())->directory == other ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  fs::remove(taken);
  fs::remove_all(other);
}

TEST_F(AddressTest, APathTooLongForASocketIsSaid) {
  const fs::path deep = runtime_.path() / std::string(90, 'd');
  fs::create_directory(deep);
  setenv("XDG_RUNTIME_DIR", deep.c_str(), 1);
  EXPECT_THAT(Refusal(), HasSubstr("let XDG_RUNTIME_DIR name a shorter one"));
  // A store's own path may be as long as it likes.
  setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
  fs::path store = root_.path();
  for (int i = 0; i < 10; ++i) store /= std::string(200, 's');
  fs::create_directories(store);
  EXPECT_TRUE(AddressOf(store));
}

TEST_F(AddressTest, OneListensAtATimeAndWhatAKilledOneLeftIsRemoved) {
  const pid_t killed = fork();
  if (killed == 0) {
    const auto listener = Listener::Start(store());
    kill(getpid(), SIGKILL);
    _exit(listener ? 0 : 1);
  }
  waitpid(killed, nullptr, 0);
  const Address address = *AddressOf(store());
  ASSERT_TRUE(fs::exists(address.socket));
  EXPECT_FALSE(*Connect(address));  // nobody listens

  auto first = Listener::Start(store());
  ASSERT_TRUE(first && *first);
  EXPECT_FALSE(*Listener::Start(store()));
  auto client = Connect(address);
  ASSERT_TRUE(client && *client);
  EXPECT_TRUE(*(*first)->Accept());
  (*first)->Close();
  EXPECT_FALSE(fs::exists(directory()));
  const auto second = Listener::Start(store());
  EXPECT_TRUE(second && *second);
}

TEST_F(AddressTest, AnotherUserIsTurnedAway) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  auto listener = Listener::Start(store());
  ASSERT_TRUE(listener && *listener);
  const Address address = *AddressOf(store());
  const auto can_connect = [&] {
    const pid_t child = fork();
    if (child == 0) {
      if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
      const auto connected = Connect(address);
      _exit(connected && *connected ? 1 : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
  };
  EXPECT_EQ(can_connect(), 0);  // the directory is closed
  // Were it open, both ends would still look at each other's user.
  for (const fs::path& path : {runtime_.path(), directory(), address.socket}) {
    fs::permissions(path, fs::perms::all);
  }
  EXPECT_EQ(can_connect(), 0);
  EXPECT_FALSE(*(*listener)->Accept());
}

}  // namespace
}  // namespace bitsnap::agent
