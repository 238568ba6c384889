#include "engine/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include <fmt/format.h>

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// The number in a file that holds nothing else; nullopt for "max" or no such file.
std::optional<uint64_t> ReadNumber(const fs::path& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

// The number behind `name` in a file of "name number" lines.
std::optional<uint64_t> ReadField(const fs::path& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    uint64_t number = 0;
    if (word == name && file >> number) return number;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

uint64_t OfMachine(const fs::path& root) {
  const auto kibibytes = ReadField(root / "proc/meminfo", "MemAvailable:");
  return kibibytes ? *kibibytes << 10 : kUnlimited;
}

// The names that a version of control groups gives its files.
struct GroupFiles {
  const char *limit, *usage, *stat, *droppable;
};
constexpr GroupFiles kV2 = {"memory.max", "memory.current", "memory.stat", "inactive_file"};
constexpr GroupFiles kV1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat",
                            "total_inactive_file"};

uint64_t OfGroup(const fs::path& group, const GroupFiles& files) {
  const auto limit = ReadNumber(group / files.limit), usage = ReadNumber(group / files.usage);
  if (!limit || !usage) return kUnlimited;
  const uint64_t droppable = ReadField(group / files.stat, files.droppable).value_or(0);
  const uint64_t taken = *usage - std::min(*usage, droppable);
  return *limit - std::min(*limit, taken);
}

// Of the group `path`, as /proc/self/cgroup names it, and of all above it. In a container the path
// may be the host's, of which only the top is to be seen.
uint64_t OfGroups(const fs::path& mount, fs::path path, const GroupFiles& files) {
  uint64_t least = kUnlimited;
  while (true) {
    least = std::min(least, OfGroup(mount / path.relative_path(), files));
    if (!path.has_relative_path()) return least;
    path = path.parent_path();
  }
}

}  // namespace

uint64_t AvailableMemory(const fs::path& root) {
  uint64_t least = OfMachine(root);
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "number:controllers:path"
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = line.substr(second + 1), mount = root / "sys/fs/cgroup";
    if (controllers.empty()) {
      least = std::min(least, OfGroups(mount, path, kV2));
    } else if (controllers == "memory") {
      least = std::min(least, OfGroups(mount / "memory", path, kV1));
    }
  }
  return least;
}

Result<void> CheckMemory(uint64_t bytes) {
  const uint64_t available = AvailableMemory();
  if (bytes <= available) return {};
  return Fail(ErrorKind::kOutOfMemory,
              fmt::format("no memory for a copy of {} bytes: {} are left on this machine or in its "
                          "control group; lower max_memory, or save without the background "
                          "(engine=\"sync\")",
                          bytes, available));
}

}  // namespace bitsnap
