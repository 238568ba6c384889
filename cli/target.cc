#include "cli/target.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string_view>

#include <fmt/core.h>

namespace bitsnap::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSnapshotMagic =
    "\x89"
    "BSNAP\r\n";

bool IsSnapshot(const fs::path& file) {
  std::string begin(kSnapshotMagic.size(), '\0');
  std::ifstream(file, std::ios::binary).read(begin.data(), std::ssize(begin));
  return begin == kSnapshotMagic;
}

// Whether a file of this name would be, or replace, one of the store's own.
bool BelongsTo(const fs::path& target, const fs::path& store) {
  std::error_code failed;
  const fs::path folder = fs::canonical(store, failed);
  if (failed) return false;  // there is no store; opening it says so
  const fs::path inside = fs::weakly_canonical(target, failed).lexically_relative(folder);
  if (failed || inside.empty()) return false;
  const std::string first = inside.begin()->string();
  return first.starts_with("step-") || first == "LATEST" || first == "PARTIAL";
}

bool IsStdout(const struct stat& status) {
  struct stat ours;
  return fstat(STDOUT_FILENO, &ours) == 0 && ours.st_dev == status.st_dev &&
         ours.st_ino == status.st_ino;
}

tl::unexpected<Error> Refuse(const fs::path& out, std::string_view why) {
  return Fail(ErrorKind::kInvalidArgument, fmt::format("cannot write {}: {}", out.string(), why));
}

}  // namespace

Result<Target> CheckTarget(const fs::path& out, const fs::path& store) {
  const Result<fs::path> target = ResolveOutput(out);
  if (!target) return tl::make_unexpected(target.error());
  if (BelongsTo(*target, store)) {
    return Refuse(out, "it is a place of the store itself; write outside of the store");
  }
  struct stat status;
  if (stat(target->c_str(), &status) != 0) {
    const fs::path folder = target->has_parent_path() ? target->parent_path() : ".";
    if (fs::is_directory(folder)) return Target{};
    return Fail(ErrorKind::kNotFound, fmt::format("cannot write {}: there is no folder {}; make it "
                                                  "first",
                                                  out.string(), folder.string()));
  }
  if (S_ISDIR(status.st_mode)) return Refuse(out, "a directory; give the name of a file in it");
  if (S_ISBLK(status.st_mode) || S_ISSOCK(status.st_mode)) {
    return Refuse(out, "neither a file nor a pipe; give the name of a file");
  }
  if (S_ISREG(status.st_mode) && IsSnapshot(*target)) {
    return Refuse(out, "it is a snapshot, which a store needs; write to another file");
  }
  return Target{IsStdout(status)};
}

}  // namespace bitsnap::cli
