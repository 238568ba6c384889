#include "engine/agent/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "base/try.h"
#include "engine/fd.h"

extern char** environ;

namespace bitsnap::agent {
namespace {

constexpr int kPatienceMilliseconds = 20'000;

// posix_spawn's two structures.
class Plan {
 public:
  explicit Plan(int errors) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addopen(&files_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files_, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files_, errors, 2);
    // Signals that the training blocks or ignores are no business of the agent's.
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  const posix_spawn_file_actions_t* files() const { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

// All that comes through the pipe until its other end is closed; nullopt when patience is over.
std::optional<std::string> ReadAll(int pipe) {
  std::string text;
  pollfd event = {pipe, POLLIN, 0};
  while (poll(&event, 1, kPatienceMilliseconds) != 0) {
    char buffer[4096];
    const ssize_t count = read(pipe, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer, static_cast<size_t>(count));
  }
  return std::nullopt;
}

std::string Message(std::string text) {
  if (text.starts_with("bitsnap: ")) text.erase(0, 9);
  while (text.ends_with('\n')) text.pop_back();
  return text.empty() ? "it ended at once" : text;
}

}  // namespace

Result<void> Spawn(const std::filesystem::path& executable, const std::filesystem::path& store) {
  const auto fail = [&](const std::string& why) {
    return Fail(ErrorKind::kIo,
                fmt::format("cannot start the agent ({}): {}", executable.string(), why));
  };
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail(std::generic_category().message(errno));
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const Plan plan(writer.get());
  std::string arguments[] = {"bitsnap", "agent", store.string(), "--detach"};
  char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(),
                  arguments[3].data(), nullptr};
  pid_t child = -1;
  const int failed =
      posix_spawnp(&child, executable.c_str(), plan.files(), plan.attributes(), argv, environ);
  if (failed != 0) return fail(std::generic_category().message(failed));
  writer = Fd();
  const std::optional<std::string> text = ReadAll(reader.get());
  if (!text) kill(child, SIGKILL);
  int status = 0;
  pid_t ended;
  do {
    ended = waitpid(child, &status, 0);
  } while (ended < 0 && errno == EINTR);
  // Killed from outside, as memory runs short or somebody clears up: worth another try.
  if (text && ended == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return {};
  // Where SIGCHLD is ignored there is no status to be had.
  const bool good =
      ended == child ? WIFEXITED(status) && WEXITSTATUS(status) == 0 : text && text->empty();
  return good ? Result<void>() : fail(Message(text.value_or("it does not start")));
}

}  // namespace bitsnap::agent
