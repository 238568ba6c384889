#include "pipeline/source.h"

#include <algorithm>
#include <cstring>

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

tl::unexpected<Error> AtBlock(const SnapshotReader& file, const TensorRecord& tensor, size_t block,
                              const Error& error) {
  return Fail(error.kind, fmt::format("{}: tensor \"{}\", block {}: {}", file.path().string(),
                                      tensor.info.name, block, error.message));
}

Result<const Codec*> CodecOf(const SnapshotReader& file, const TensorRecord& tensor,
                             const BlockRecord& block) {
  const Codec* codec = FindCodec(block.codec);
  const size_t parts = tensor.second ? 2 : 1;
  const bool known = codec != nullptr && codec->Supports(tensor.info.dtype) &&
                     (codec->parts() == parts || codec->id() == CodecId::kRaw);
  if (known) return codec;
  return Fail(ErrorKind::kNewerVersion,
              fmt::format("{}: tensor \"{}\" uses codec {}, which this version of bitsnap does not "
                          "know for it; upgrade bitsnap",
                          file.path().string(), tensor.info.name, block.codec));
}

// Everything that a block's decoder needs besides its payload.
class ContextReader {
 public:
  ContextReader(const SnapshotSource& source, size_t tensor, size_t block, size_t raw_bytes,
                Workspace& workspace, size_t level)
      : source_(source),
        record_(source.file->index().tensors[tensor]),
        raw_bytes_(raw_bytes),
        offset_(uint64_t{block} * (kBlockBytes / parts())),
        workspace_(workspace),
        level_(level) {}

  Result<BlockContext> Read(const Codec& codec) {
    const TensorInfo& info = record_.info;
    BlockContext context{.dtype = info.dtype, .raw_bytes = raw_bytes_};
    context.params = record_.params;
    context.first_word = offset_ / WordBytes(info.dtype);
    context.row_words = RowWords(info);
    if (codec.needs_base() && !record_.base_tensor) {
      return CorruptTensor(*source_.file, record_, "a block leans on a base that it does not name");
    }
    if (codec.base_form() == BaseForm::kDecoded && record_.base_tensor) {
      BITSNAP_ASSIGN(context.base, ReadBase());
    }
    if (codec.base_form() == BaseForm::kCoded) {
      BITSNAP_ASSIGN(context.coded_base, ReadCodedBase());
    }
    if (codec.needs_peer()) {
      BITSNAP_ASSIGN(context.peer, ReadPeer(codec));
    }
    return context;
  }

 private:
  size_t parts() const { return record_.second ? 2 : 1; }

  Result<Bytes> ReadBase() {
    const MutableBytes base = Room(workspace_.levels[level_].base, raw_bytes_);
    const size_t part_bytes = raw_bytes_ / parts();
    BITSNAP_TRY(ReadBaseOf(record_, base.first(part_bytes)));
    if (record_.second) {
      BITSNAP_ASSIGN(const TensorRecord* second, SecondOnBase());
      BITSNAP_TRY(ReadBaseOf(*second, base.subspan(part_bytes)));
    }
    return base;
  }

  Result<CodedBlock> ReadCodedBase() {
    BITSNAP_ASSIGN(const TensorRecord* second, SecondOnBase());
    const auto place =
        LocatePair({source_.base, nullptr}, *record_.base_tensor, *second->base_tensor);
    if (!place) {
      return CorruptTensor(*source_.file, record_, "it leans on a pair, and its base has none");
    }
    return ReadCodedBlock(*place, offset_ / place->bytes_per_block(),
                          workspace_.levels[level_].base);
  }

  // Requires: it is a pair.
  Result<const TensorRecord*> SecondOnBase() const {
    const TensorRecord& second = source_.file->index().tensors[*record_.second];
    if (second.base_tensor) return &second;
    return CorruptTensor(*source_.file, second, "its pair leans on a base, and it names none");
  }

  Result<void> ReadBaseOf(const TensorRecord& record, MutableBytes out) {
    return DecodeRange({source_.base, nullptr}, *record.base_tensor, offset_, out, workspace_,
                       level_ + 1);
  }

  Result<PeerBlock> ReadPeer(const Codec& codec) {
    const auto refuse = [&](const char* what) {
      return CorruptTensor(*source_.file, record_, what);
    };
    if (!record_.peer) return refuse("a block leans on a peer that it does not name");
    const TensorInfo& peer = source_.file->index().tensors[*record_.peer].info;
    if (!codec.SupportsPeer(peer.dtype)) return refuse("its peer has a dtype that does not fit");
    const size_t word = WordBytes(record_.info.dtype), peer_word = WordBytes(peer.dtype);
    const uint64_t offset = offset_ / word * peer_word;
    const size_t bytes = raw_bytes_ / word * peer_word;
    if (source_.known != nullptr && !(*source_.known)[*record_.peer].empty()) {
      return PeerBlock{peer.dtype, (*source_.known)[*record_.peer].subspan(offset, bytes)};
    }
    const MutableBytes out = Room(workspace_.levels[level_].peer, bytes);
    BITSNAP_TRY(DecodeRange(source_, *record_.peer, offset, out, workspace_, level_ + 1));
    return PeerBlock{peer.dtype, out};
  }

  const SnapshotSource& source_;
  const TensorRecord& record_;
  const size_t raw_bytes_;
  const uint64_t offset_;  // of the block in its tensor, or in each of the pair
  Workspace& workspace_;
  const size_t level_;
};

// Calls decode(codec, context, payload) with what a block's decoder needs.
template <class Decode>
Result<void> WithPayload(const SnapshotSource& source, size_t tensor, size_t block,
                         size_t raw_bytes, Workspace& workspace, size_t level, Decode decode) {
  const SnapshotReader& file = *source.file;
  const TensorRecord& record = file.index().tensors[tensor];
  BITSNAP_ASSIGN(const Codec* codec, CodecOf(file, record, record.blocks[block]));
  if (level >= Workspace::kLevels)
    return CorruptTensor(file, record, "it leans on too many others");
  ContextReader reader(source, tensor, block, raw_bytes, workspace, level);
  BITSNAP_ASSIGN(const BlockContext context, reader.Read(*codec));
  const MutableBytes coded = Room(workspace.levels[level].coded, record.blocks[block].coded_bytes);
  BITSNAP_TRY(file.ReadBlock(tensor, block, coded));
  Result<void> decoded = decode(*codec, context, coded);
  return decoded ? decoded : AtBlock(file, record, block, decoded.error());
}

bool IsRaw(const BlockRecord& block) { return block.codec == static_cast<uint8_t>(CodecId::kRaw); }

Result<void> DecodePayload(const SnapshotSource& source, size_t tensor, size_t block,
                           MutableBytes out, Workspace& workspace, size_t level) {
  const BlockRecord& record = source.file->index().tensors[tensor].blocks[block];
  // Raw blocks need no second copy.
  if (IsRaw(record) && record.coded_bytes == out.size()) {
    return source.file->ReadBlock(tensor, block, out);
  }
  return WithPayload(source, tensor, block, out.size(), workspace, level,
                     [&](const Codec& codec, const BlockContext& context, Bytes coded) {
                       return codec.Decode(context, coded, out, workspace.scratch);
                     });
}

Result<void> CheckDecoded(const SnapshotSource& source, size_t tensor, size_t block,
                          uint64_t checksum) {
  const TensorRecord& record = source.file->index().tensors[tensor];
  if (checksum == record.blocks[block].raw_checksum) return {};
  return CorruptTensor(*source.file, record,
                       fmt::format("block {} decodes to other bytes than were saved; restore an "
                                   "older step",
                                   block));
}

// A block kept from last time, or decoded anew.
Result<Bytes> WholeBlock(const SnapshotSource& source, size_t tensor, size_t block,
                         Workspace& workspace, size_t level) {
  if (level >= Workspace::kLevels) {
    return CorruptTensor(*source.file, source.file->index().tensors[tensor],
                         "it leans on too many others");
  }
  Workspace::Level& kept = workspace.levels[level];
  const BlockId id{source.file, tensor, block};
  const MutableBytes out = Room(kept.block, source.file->RawBlockBytes(tensor, block));
  if (kept.id == id) return out;
  kept.id = {};
  BITSNAP_TRY(DecodeBlock(source, tensor, block, out, workspace, level));
  kept.id = id;
  return out;
}

}  // namespace

MutableBytes Room(std::vector<std::byte>& buffer, size_t bytes) {
  if (buffer.size() < std::max(bytes, kBlockBytes)) buffer.resize(std::max(bytes, kBlockBytes));
  return MutableBytes(buffer).first(bytes);
}

uint64_t RawBytes(const TensorRecord& tensor) {
  return *TensorBytes(tensor.info.dtype, tensor.info.shape);
}

uint64_t RowWords(const TensorInfo& info) {
  const uint64_t words = *TensorBytes(info.dtype, info.shape) / WordBytes(info.dtype);
  if (info.shape.size() < 2 || words == 0) return words;
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < info.shape.size(); ++i) rows *= info.shape[i];
  return words / rows;
}

Place Locate(const SnapshotSource& source, size_t tensor) {
  const auto& tensors = source.file->index().tensors;
  switch (const TensorRecord& record = tensors[tensor]; record.storage) {
    case Storage::kBlocks:
      return {source, tensor, record.second ? 2u : 1u, 0};
    case Storage::kSameAsTensor:
      return Locate(source, record.same_as);
    case Storage::kSecondOfPair:
      return {source, record.same_as, 2, 1};
    case Storage::kSameAsBase:
      break;
  }
  return Locate({source.base, nullptr}, *tensors[tensor].base_tensor);
}

std::optional<Place> LocatePair(const SnapshotSource& source, size_t first, size_t second) {
  const Place place = Locate(source, first), other = Locate(source, second);
  const bool are_pair = place.parts == 2 && place.part == 0 && other.part == 1 &&
                        place.source.file == other.source.file && place.tensor == other.tensor;
  return are_pair ? std::optional(place) : std::nullopt;
}

Result<CodedBlock> ReadCodedBlock(const Place& place, size_t block, std::vector<std::byte>& room) {
  const SnapshotReader& file = *place.source.file;
  const TensorRecord& record = file.index().tensors[place.tensor];
  const BlockRecord& coded = record.blocks[block];
  const MutableBytes payload = Room(room, coded.coded_bytes);
  BITSNAP_TRY(file.ReadBlock(place.tensor, block, payload));
  return CodedBlock{static_cast<CodecId>(coded.codec), record.params, payload,
                    file.RawBlockBytes(place.tensor, block)};
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

Result<void> DecodeBlock(const SnapshotSource& source, size_t tensor, size_t block,
                         MutableBytes out, Workspace& workspace, size_t level) {
  BITSNAP_TRY(DecodePayload(source, tensor, block, out, workspace, level));
  // What leans on this block is checked once it is decoded itself.
  if (level > 0) return {};
  const BlockRecord& record = source.file->index().tensors[tensor].blocks[block];
  // Reading a raw block has compared its checksum already.
  return CheckDecoded(source, tensor, block,
                      IsRaw(record) ? record.coded_checksum : Checksum64(out));
}

Result<void> DecodePairBlock(const SnapshotSource& source, size_t tensor, size_t block,
                             MutableBytes first, MutableBytes second, Workspace& workspace) {
  const size_t raw_bytes = first.size() + second.size();
  if (IsRaw(source.file->index().tensors[tensor].blocks[block])) {
    const MutableBytes whole = Room(workspace.raw, raw_bytes);
    BITSNAP_TRY(DecodeBlock(source, tensor, block, whole, workspace));
    std::ranges::copy(whole.first(first.size()), first.begin());
    std::ranges::copy(whole.subspan(first.size()), second.begin());
    return {};
  }
  BITSNAP_TRY(WithPayload(source, tensor, block, raw_bytes, workspace, 0,
                          [&](const Codec& codec, const BlockContext& context, Bytes coded) {
                            return codec.DecodePair(context, coded, first, second,
                                                    workspace.scratch);
                          }));
  return CheckDecoded(source, tensor, block, Checksum64(first, second));
}

Result<void> DecodeRange(const SnapshotSource& source, size_t tensor, uint64_t offset,
                         MutableBytes out, Workspace& workspace, size_t level) {
  const Place place = Locate(source, tensor);
  const size_t per_block = place.bytes_per_block();
  while (!out.empty()) {
    const size_t block = static_cast<size_t>(offset / per_block), skip = offset % per_block;
    const size_t raw_bytes = place.source.file->RawBlockBytes(place.tensor, block);
    const size_t wanted = std::min(raw_bytes / place.parts - skip, out.size());
    if (wanted == raw_bytes) {
      BITSNAP_TRY(
          DecodeBlock(place.source, place.tensor, block, out.first(wanted), workspace, level));
    } else {
      BITSNAP_ASSIGN(const Bytes whole,
                     WholeBlock(place.source, place.tensor, block, workspace, level));
      const size_t begin = place.part * (raw_bytes / place.parts) + skip;
      std::memcpy(out.data(), whole.data() + begin, wanted);
    }
    offset += wanted;
    out = out.subspan(wanted);
  }
  return {};
}

}  // namespace bitsnap
