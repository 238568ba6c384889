#include "cli/input.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

namespace bitsnap::cli {

namespace {

namespace fs = std::filesystem;
using std::string_view_literals::operator""sv;

constexpr std::string_view kFromPython =
    "load it in Python and save it with bitsnap.torch.Checkpointer, or write it as .safetensors";
constexpr size_t kShownNames = 3;

// What a file is by its first bytes.
struct Kind {
  std::string_view begin;
  std::string_view is;
  std::string_view advice;
};

// In this order.
constexpr auto kKinds = std::to_array<Kind>({
    {"PK\3\4"sv, "a zip file, as torch.save and numpy.savez write it", kFromPython},
    {"\x80\2"sv, "a pickle, as torch.save wrote it of old", kFromPython},
    {"\x80\3"sv, "a pickle", kFromPython},
    {"\x80\4"sv, "a pickle", kFromPython},
    {"\x80\5"sv, "a pickle", kFromPython},
    {"\x93NUMPY"sv, "a numpy array", kFromPython},
    {"\x89HDF"sv, "an HDF5 file", kFromPython},
    {"GGUF"sv, "a GGUF file", "save the .safetensors that it was made from"},
    {"\x89"
     "BSNAP\r\n"sv,
     "a snapshot of a BitSnap store already", "`bitsnap restore` reads it in its store"},
    {"version https://git-lfs"sv, "a pointer of Git LFS, not the file",
     "`git lfs pull` fetches it"},
    {"\x1f\x8b"sv, "compressed by gzip", "decompress it first"},
    {"\x28\xb5\x2f\xfd"sv, "compressed by zstd", "decompress it first"},
});

std::optional<Error> ForeignFile(const fs::path& path) {
  std::string begin(32, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(begin.data(), std::ssize(begin));
  begin.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  const auto found =
      std::ranges::find_if(kKinds, [&](const Kind& kind) { return begin.starts_with(kind.begin); });
  if (found == kKinds.end()) return std::nullopt;
  return Error{ErrorKind::kInvalidArgument, fmt::format("{} is {}, not a .safetensors file: {}",
                                                        path.string(), found->is, found->advice)};
}

std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (auto entry = fs::directory_iterator(folder, failed);
       !failed && entry != fs::directory_iterator(); entry.increment(failed)) {
    names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> EndingIn(const std::vector<std::string>& names, std::string_view end) {
  std::vector<std::string> found;
  std::ranges::copy_if(names, std::back_inserter(found),
                       [&](const std::string& name) { return name.ends_with(end); });
  return found;
}

// "a, b, c, ...": paths of files in `folder`.
std::string Some(const fs::path& folder, const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShownNames); ++i) {
    text += (i == 0 ? "" : ", ") + (folder / names[i]).string();
  }
  return text + (names.size() > kShownNames ? ", ..." : "");
}

std::string WhatToDoWithFolder(const fs::path& folder) {
  const std::vector<std::string> names = NamesIn(folder);
  const auto has = [&](std::string_view begin) {
    return std::ranges::any_of(names,
                               [&](const std::string& name) { return name.starts_with(begin); });
  };
  if (names.empty()) return "it is empty; give a .safetensors file";
  if (const auto indexes = EndingIn(names, ".safetensors.index.json"); !indexes.empty()) {
    return "give the index in it, which names the shards: " + Some(folder, indexes);
  }
  if (const auto files = EndingIn(names, ".safetensors"); files.size() == 1) {
    return "give the file in it: " + Some(folder, files);
  } else if (!files.empty()) {
    return "give one of the files in it, each for a --rank of its own: " + Some(folder, files);
  }
  if (has(".metadata") || !EndingIn(names, ".distcp").empty()) {
    return fmt::format("it is a checkpoint of torch.distributed.checkpoint; {}", kFromPython);
  }
  if (has("step-")) return "it is a BitSnap store; `bitsnap restore` writes a step of it as a file";
  for (const std::string_view end : {".pt", ".pth", ".bin", ".ckpt", ".npz"}) {
    const auto files = EndingIn(names, end);
    if (!files.empty()) {
      return fmt::format("there is no .safetensors file in it but {}; {}", Some(folder, files),
                         kFromPython);
    }
  }
  return "there is no .safetensors file in it; give one";
}

}  // namespace

Result<SafetensorsFile> OpenInput(const fs::path& path) {
  std::error_code failed;
  if (fs::is_directory(path, failed)) {
    return Fail(ErrorKind::kInvalidArgument, fmt::format("{} is a folder, not a file: {}",
                                                         path.string(), WhatToDoWithFolder(path)));
  }
  Result<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (file || !fs::is_regular_file(path, failed)) return file;
  if (const auto foreign = ForeignFile(path)) return tl::make_unexpected(*foreign);
  return file;
}

}  // namespace bitsnap::cli
