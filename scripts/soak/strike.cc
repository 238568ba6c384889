// Preloaded into those who save: strikes at a chosen one of the system calls by which they change
// the store, so that a crash storm hits every instant of a commit and not only those that last
// long.
//
// SOAK_STORE is the store's absolute path. SOAK_STRIKE says what happens, for a process that is
// started by exec; one that was forked calls SoakStrike instead:
//   "N kill 0"  SIGKILL before the Nth change; "N kill 1" after it
//   "N fail E"  the Nth change fails with errno E
//   "N slow M"  every change waits for up to M milliseconds, in a rhythm that N decides
// What was struck is appended to the file SOAK_LOG, a line each.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

enum class Way { kNone, kKill, kFail, kSlow };

struct Strike {
  Way way = Way::kNone;
  long at = 0;
  long how = 0;  // whether after the change, an errno, or milliseconds
};

Strike strike;
std::atomic<long> changes = 0;
char store[4096], log_file[4096];
std::atomic<bool> is_ours[4096];  // descriptors of files and folders in the store

bool InStore(const char* path) {
  const size_t length = std::strlen(store);
  return length > 0 && std::strncmp(path, store, length) == 0;
}

void SetOurs(int fd, bool ours) {
  if (fd >= 0 && fd < 4096) is_ours[fd] = ours;
}

bool IsOurs(int fd) { return fd >= 0 && fd < 4096 && is_ours[fd]; }

void Log(const char* call) {
  char line[128];
  const int length = std::snprintf(line, sizeof line, "%d %s\n", getpid(), call);
  const long fd = syscall(SYS_openat, AT_FDCWD, log_file, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (fd < 0) return;
  (void)!syscall(SYS_write, fd, line, length);
  syscall(SYS_close, fd);
}

// Different from call to call, the same for the same `at`.
long Rhythm(long number) {
  uint64_t mixed = static_cast<uint64_t>(strike.at * 1000 + number) * 0x9E3779B97F4A7C15u;
  return static_cast<long>(mixed >> 33);
}

[[noreturn]] void Die() {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// A change of the store by `call`, which returns -1 and sets errno where it fails.
template <class Call>
auto Change(const char* name, bool ours, Call call) -> decltype(call()) {
  if (!ours || strike.way == Way::kNone) return call();
  const long number = ++changes;
  if (strike.way == Way::kSlow) {
    usleep(static_cast<useconds_t>(Rhythm(number) % (1000 * strike.how + 1)));
    return call();
  }
  if (number != strike.at) return call();
  Log(name);
  if (strike.way == Way::kKill) {
    if (strike.how != 0) (void)call();
    Die();
  }
  errno = static_cast<int>(strike.how);
  return -1;
}

template <class Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

void CopyVariable(const char* name, char (&to)[4096]) {
  const char* value = std::getenv(name);
  std::snprintf(to, sizeof to, "%s", value ? value : "");
}

int Open(const char* path, int flags, mode_t mode) {
  const bool creates = (flags & O_CREAT) != 0 && InStore(path);
  const int fd = Change("open", creates, [&] {
    return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  });
  SetOurs(fd, InStore(path));
  return fd;
}

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

// What happens from now on, in this process; see above.
void SoakStrike(const char* what) {
  CopyVariable("SOAK_STORE", store);
  CopyVariable("SOAK_LOG", log_file);
  char way[8] = "";
  Strike wanted;
  std::sscanf(what, "%ld %7s %ld", &wanted.at, way, &wanted.how);
  if (std::strcmp(way, "kill") == 0) wanted.way = Way::kKill;
  if (std::strcmp(way, "fail") == 0) wanted.way = Way::kFail;
  if (std::strcmp(way, "slow") == 0) wanted.way = Way::kSlow;
  changes = 0;
  strike = wanted;
}

__attribute__((constructor)) static void Start() {
  if (const char* what = std::getenv("SOAK_STRIKE")) SoakStrike(what);
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(path, flags | O_LARGEFILE, mode);
}

int close(int fd) {
  SetOurs(fd, false);
  static const auto next = Next<int(int)>("close");
  return next(fd);
}

ssize_t write(int fd, const void* bytes, size_t count) {
  static const auto next = Next<ssize_t(int, const void*, size_t)>("write");
  return Change("write", IsOurs(fd), [&] { return next(fd, bytes, count); });
}

int fsync(int fd) {
  static const auto next = Next<int(int)>("fsync");
  return Change("fsync", IsOurs(fd), [&] { return next(fd); });
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = Next<int(const char*, const char*)>("rename");
  return Change("rename", InStore(to), [&] { return next(from, to); });
}

int renameat2(int at, const char* from, int to_at, const char* to, unsigned flags) noexcept {
  static const auto next = Next<int(int, const char*, int, const char*, unsigned)>("renameat2");
  return Change("renameat2", InStore(to), [&] { return next(at, from, to_at, to, flags); });
}

int link(const char* from, const char* to) noexcept {
  static const auto next = Next<int(const char*, const char*)>("link");
  return Change("link", InStore(to), [&] { return next(from, to); });
}

int unlink(const char* path) noexcept {
  static const auto next = Next<int(const char*)>("unlink");
  return Change("unlink", InStore(path), [&] { return next(path); });
}

int remove(const char* path) noexcept {
  static const auto next = Next<int(const char*)>("remove");
  return Change("remove", InStore(path), [&] { return next(path); });
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto next = Next<int(const char*, mode_t)>("mkdir");
  return Change("mkdir", InStore(path), [&] { return next(path, mode); });
}

}  // extern "C"
