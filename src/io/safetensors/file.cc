#include <bitsnap/safetensors.h>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "base/try.h"
#include "io/safetensors/layout.h"
#include "io/safetensors/mapped_file.h"
#include "io/safetensors/quote.h"
#include "io/safetensors/shard_index.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

struct OpenFile {
  MappedFile mapping;
  SafetensorsLayout layout;
};

Result<OpenFile> OpenOne(const fs::path& path) {
  BITSNAP_ASSIGN(MappedFile mapping, MappedFile::Open(path));
  BITSNAP_ASSIGN(SafetensorsLayout layout, ParseSafetensors(mapping.bytes(), path));
  return OpenFile{std::move(mapping), std::move(layout)};
}

tl::unexpected<Error> WrongIndex(const fs::path& path, std::string_view what) {
  return Fail(ErrorKind::kCorrupt, fmt::format("{} is not a valid index of safetensors shards: {}",
                                               path.string(), what));
}

Result<WeightMap> OpenIndex(const fs::path& path) {
  BITSNAP_ASSIGN(const MappedFile mapping, MappedFile::Open(path));
  const Bytes bytes = mapping.bytes();
  if (bytes.size() > kMaxHeaderBytes) {
    return WrongIndex(path, fmt::format("it is larger than {} bytes", kMaxHeaderBytes));
  }
  auto map = ParseShardIndex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!map) return WrongIndex(path, map.error());
  return *std::move(map);
}

// Per shard, the names of its tensors.
std::map<std::string, std::vector<std::string>> TensorsOfShards(const WeightMap& map) {
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, shard] : map) shards[shard].push_back(tensor);
  return shards;
}

// That the shard holds the tensors which the index puts there and no other. One more would mean
// that index and shard are of different saves; to leave it out or take it in would both be a guess.
Result<void> CheckShard(const fs::path& index, const std::string& shard,
                        const SafetensorsLayout& layout, std::span<const std::string> wanted) {
  std::set<std::string_view> names(wanted.begin(), wanted.end());
  for (const TensorView& tensor : layout.tensors) {
    if (names.erase(tensor.info.name) == 0) {
      return WrongIndex(index, fmt::format("it does not put tensor {} into {}, which holds it",
                                           Quote(tensor.info.name), shard));
    }
  }
  if (names.empty()) return {};
  return WrongIndex(index, fmt::format("it puts tensor {} into {}, which does not hold it",
                                       Quote(*names.begin()), shard));
}

}  // namespace

struct SafetensorsFile::Impl {
  std::vector<MappedFile> mappings;
  SafetensorsLayout layout;

  void Add(OpenFile file) {
    mappings.push_back(std::move(file.mapping));
    std::ranges::move(file.layout.tensors, std::back_inserter(layout.tensors));
    layout.metadata.merge(file.layout.metadata);  // keeps what is there
  }
};

Result<SafetensorsFile> SafetensorsFile::Open(const fs::path& path) {
  auto impl = std::make_unique<Impl>();
  if (!path.filename().string().ends_with(".index.json")) {
    BITSNAP_ASSIGN(OpenFile file, OpenOne(path));
    impl->Add(std::move(file));
    return SafetensorsFile(std::move(impl));
  }
  BITSNAP_ASSIGN(const WeightMap map, OpenIndex(path));
  for (const auto& [shard, tensors] : TensorsOfShards(map)) {
    BITSNAP_ASSIGN(OpenFile file, OpenOne(path.parent_path() / shard));
    BITSNAP_TRY(CheckShard(path, shard, file.layout, tensors));
    impl->Add(std::move(file));
  }
  return SafetensorsFile(std::move(impl));
}

SafetensorsFile::SafetensorsFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;
SafetensorsFile::~SafetensorsFile() = default;

const std::vector<TensorView>& SafetensorsFile::tensors() const { return impl_->layout.tensors; }

const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return impl_->layout.metadata;
}

}  // namespace bitsnap
