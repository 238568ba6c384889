// Preloaded into the command, what mounted file systems answer: each environment variable holds the
// errno with which a call fails.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static int fails(const char* variable) {
  const char* code = getenv(variable);
  if (code == NULL) return 0;
  errno = atoi(code);
  return 1;
}

int link(const char* from, const char* to) {
  return fails("NO_LINK") ? -1 : REAL(link)(from, to);
}

int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) {
  if (flags != 0 && fails("NO_NOREPLACE")) return -1;
  return REAL(renameat2)(from_fd, from, to_fd, to, flags);
}

int rename(const char* from, const char* to) {
  if (strstr(to, "/rank-") != NULL && getenv("KILLED_AT_RENAME") != NULL) _exit(9);
  return REAL(rename)(from, to);
}

int fsync(int fd) {
  struct stat status;
  if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode) && fails("NO_FOLDER_SYNC")) return -1;
  return REAL(fsync)(fd);
}

int flock(int fd, int operation) {
  return fails("NO_LOCK") ? -1 : REAL(flock)(fd, operation);
}

ssize_t write(int fd, const void* bytes, size_t count) {
  if (fd > 2 && (fcntl(fd, F_GETFL) & O_DIRECT) && fails("NO_DIRECT_WRITE")) return -1;
  return REAL(write)(fd, bytes, count);
}
