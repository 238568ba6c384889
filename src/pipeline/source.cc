#include "pipeline/source.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/try.h"
#include "codec/codec.h"

namespace bitsnap {
namespace {

Result<void> CheckAgainstBase(const SnapshotSource& source, const TensorRecord& tensor) {
  const auto& base_tensors = source.base->index().tensors;
  if (*tensor.base_tensor >= base_tensors.size()) {
    return CorruptTensor(*source.file, tensor, "its base has no such tensor");
  }
  const TensorRecord& base = base_tensors[*tensor.base_tensor];
  if (base.info.dtype != tensor.info.dtype || RawBytes(base) != RawBytes(tensor)) {
    return CorruptTensor(*source.file, tensor, "its base's tensor has another dtype or size");
  }
  return {};
}

Result<void> CheckBlockSize(const SnapshotReader& file) {
  if (file.index().block_bytes == kBlockBytes) return {};
  return Fail(ErrorKind::kUnsupportedVersion,
              fmt::format("{}: has blocks of {} bytes, this version of bitsnap reads {}; upgrade "
                          "bitsnap",
                          file.path().string(), file.index().block_bytes, kBlockBytes));
}

}  // namespace

tl::unexpected<Error> CorruptTensor(const SnapshotReader& file, const TensorRecord& tensor,
                                    std::string_view what) {
  return Fail(ErrorKind::kCorrupt,
              fmt::format("{}: tensor \"{}\": {}", file.path().string(), tensor.info.name, what));
}

uint64_t RawBytes(const TensorRecord& tensor) {
  return *TensorBytes(tensor.info.dtype, tensor.info.shape);
}

std::string CodecNames(const SnapshotReader& file, const TensorRecord& tensor) {
  if (tensor.storage == Storage::kSecondOfPair) {
    return CodecNames(file, file.index().tensors[tensor.same_as]);
  }
  if (tensor.storage == Storage::kSameAsBase) return "same as base";
  if (tensor.storage == Storage::kSameAsTensor) return "same as another";
  std::vector<std::pair<size_t, uint8_t>> counts;  // of blocks, by codec
  for (const BlockRecord& block : tensor.blocks) {
    const auto found = std::find_if(counts.begin(), counts.end(),
                                    [&](const auto& entry) { return entry.second == block.codec; });
    if (found == counts.end()) {
      counts.push_back({1, block.codec});
    } else {
      ++found->first;
    }
  }
  std::sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::string names;
  for (const auto& [count, id] : counts) {
    const Codec* codec = FindCodec(id);
    if (!names.empty()) names += '+';
    names += codec != nullptr ? std::string(codec->name()) : fmt::format("unknown {}", id);
  }
  return names.empty() ? "empty" : names;
}

Result<void> CheckSource(const SnapshotSource& source) {
  BITSNAP_TRY(CheckBlockSize(*source.file));
  if (source.base == nullptr) return {};
  BITSNAP_TRY(CheckBlockSize(*source.base));
  if (source.base->index().base) {
    return Fail(ErrorKind::kCorrupt,
                fmt::format("{}: the base of {} is itself a delta", source.base->path().string(),
                            source.file->path().string()));
  }
  for (const TensorRecord& tensor : source.file->index().tensors) {
    if (tensor.base_tensor) BITSNAP_TRY(CheckAgainstBase(source, tensor));
  }
  return {};
}

}  // namespace bitsnap
