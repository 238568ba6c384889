#include "pipeline/source.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/try.h"

namespace bitsnap {
namespace {

tl::unexpected<Error> CorruptTensor(const SnapshotReader& file, const TensorRecord& tensor,
                                    std::string_view what) {
  return Fail(ErrorKind::kCorrupt,
              fmt::format("{}: tensor \"{}\": {}", file.path().string(), tensor.info.name, what));
}

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
  return Fail(ErrorKind::kNewerVersion,
              fmt::format("{}: has blocks of {} bytes, this version of bitsnap reads {}; upgrade "
                          "bitsnap",
                          file.path().string(), file.index().block_bytes, kBlockBytes));
}

// Where block `block` of a tensor really is. Requires: CheckSource passed.
struct Place {
  const SnapshotReader* file;
  size_t tensor;
};

Place Resolve(const SnapshotSource& source, size_t tensor) {
  const auto in_file = [](const SnapshotReader* file, size_t index) -> Place {
    const TensorRecord& record = file->index().tensors[index];
    return {file, record.storage == Storage::kSameAsTensor ? record.same_as : index};
  };
  const Place place = in_file(source.file, tensor);
  const TensorRecord& record = source.file->index().tensors[place.tensor];
  if (record.storage != Storage::kSameAsBase) return place;
  return in_file(source.base, *record.base_tensor);
}

Result<void> DecodePayload(const SnapshotSource& source, const Place& place, size_t block,
                           MutableBytes out, Workspace& workspace) {
  const TensorRecord& tensor = place.file->index().tensors[place.tensor];
  const BlockRecord& record = tensor.blocks[block];
  const Codec* codec = FindCodec(record.codec);
  if (codec == nullptr || !codec->Supports(tensor.info.dtype)) {
    return Fail(ErrorKind::kNewerVersion,
                fmt::format("{}: tensor \"{}\" uses codec {}, which this version of bitsnap does "
                            "not know; upgrade bitsnap",
                            place.file->path().string(), tensor.info.name, record.codec));
  }
  // Raw blocks need no second copy.
  if (codec->id() == CodecId::kRaw && record.coded_bytes == out.size()) {
    return place.file->ReadBlock(place.tensor, block, out);
  }
  BlockContext context{tensor.info.dtype, out.size(), std::nullopt};
  if (codec->needs_base()) {
    if (place.file != source.file || !tensor.base_tensor) {
      return CorruptTensor(*place.file, tensor, "a block leans on a base that it does not name");
    }
    const MutableBytes base = MutableBytes(workspace.base).first(out.size());
    BITSNAP_TRY(DecodeBlock({source.base, nullptr}, *tensor.base_tensor, block, base, workspace));
    context.base = base;
  }
  const MutableBytes coded = MutableBytes(workspace.coded).first(record.coded_bytes);
  BITSNAP_TRY(place.file->ReadBlock(place.tensor, block, coded));
  Result<void> decoded = codec->Decode(context, coded, out, workspace.scratch);
  if (decoded) return {};
  return Fail(decoded.error().kind,
              fmt::format("{}: tensor \"{}\", block {}: {}", place.file->path().string(),
                          tensor.info.name, block, decoded.error().message));
}

}  // namespace

uint64_t RawBytes(const TensorRecord& tensor) {
  return *TensorBytes(tensor.info.dtype, tensor.info.shape);
}

std::string CodecNames(const TensorRecord& tensor) {
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

Result<void> DecodeBlock(const SnapshotSource& source, size_t tensor, size_t block,
                         MutableBytes out, Workspace& workspace) {
  const Place place = Resolve(source, tensor);
  BITSNAP_TRY(DecodePayload(source, place, block, out, workspace));
  const TensorRecord& record = place.file->index().tensors[place.tensor];
  const BlockRecord& expected = record.blocks[block];
  // Reading a raw block has compared its checksum already.
  const uint64_t checksum = expected.codec == static_cast<uint8_t>(CodecId::kRaw)
                                ? expected.coded_checksum
                                : Checksum64(out);
  if (checksum != expected.raw_checksum) {
    return CorruptTensor(*place.file, record,
                         fmt::format("block {} decodes to other bytes than were saved; restore an "
                                     "older step",
                                     block));
  }
  return {};
}

}  // namespace bitsnap
