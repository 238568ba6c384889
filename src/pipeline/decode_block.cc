#include "pipeline/decode_block.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {
namespace {

// The tensors of a unit of the file, by the first of them.
PartList<uint32_t> UnitOf(const SnapshotReader& file, size_t first) {
  PartList<uint32_t> tensors{static_cast<uint32_t>(first)};
  if (const auto second = file.index().tensors[first].second) tensors.push_back(*second);
  return tensors;
}

UnitShape ShapeOf(const SnapshotReader& file, size_t first) {
  PartList<DType> dtypes;
  for (uint32_t tensor : UnitOf(file, first)) {
    dtypes.push_back(file.index().tensors[tensor].info.dtype);
  }
  return {dtypes, RawBytes(file.index().tensors[first]) / WordBytes(dtypes.front())};
}

tl::unexpected<Error> AtBlock(const SnapshotReader& file, const TensorRecord& tensor, size_t block,
                              const Error& error) {
  return Fail(error.kind, fmt::format("{}: tensor \"{}\", block {}: {}", file.path().string(),
                                      tensor.info.name, block, error.message));
}

Result<const Codec*> CodecOf(const SnapshotReader& file, const TensorRecord& tensor,
                             const BlockRecord& block, const MutableParts& parts) {
  const Codec* codec = FindCodec(block.codec);
  const bool known =
      codec == &FallbackCodec() ||
      (codec != nullptr && codec->parts() == parts.size() &&
       std::ranges::all_of(parts, [&](const auto& part) { return codec->Supports(part.dtype); }));
  if (known) return codec;
  return Fail(ErrorKind::kUnsupportedVersion,
              fmt::format("{}: tensor \"{}\" uses codec {}, which this version of bitsnap does not "
                          "know for it; upgrade bitsnap",
                          file.path().string(), tensor.info.name, block.codec));
}

// Everything that a block's decoder needs besides its payload and its parts.
class ContextReader {
 public:
  ContextReader(const SnapshotSource& source, size_t tensor, uint64_t block,
                const MutableParts& parts, Workspace& workspace, size_t level)
      : source_(source),
        tensor_(tensor),
        record_(source.file->index().tensors[tensor]),
        block_(block),
        parts_(parts),
        first_word_(ShapeOf(*source.file, tensor).FirstWord(block)),
        workspace_(workspace),
        level_(level) {}

  Result<BlockContext> Read(const Codec& codec) {
    BlockContext context{.params = record_.params, .first_word = first_word_};
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
  Result<PartList<uint32_t>> BaseTensors() const {
    PartList<uint32_t> tensors;
    for (uint32_t tensor : UnitOf(*source_.file, tensor_)) {
      const TensorRecord& record = source_.file->index().tensors[tensor];
      if (!record.base_tensor) {
        return CorruptTensor(*source_.file, record, "its unit leans on a base, and it names none");
      }
      tensors.push_back(*record.base_tensor);
    }
    return tensors;
  }

  Result<PartList<Bytes>> ReadBase() {
    BITSNAP_ASSIGN(const PartList<uint32_t> tensors, BaseTensors());
    const MutableBytes room = Room(workspace_.levels[level_].base, RawBytes(parts_));
    return DecodeParts({source_.base, nullptr}, tensors, first_word_, CutLike(parts_, room),
                       workspace_, level_ + 1);
  }

  Result<CodedBlock> ReadCodedBase() {
    BITSNAP_ASSIGN(const PartList<uint32_t> tensors, BaseTensors());
    const auto place = LocateUnit({source_.base, nullptr}, tensors);
    if (!place) {
      return CorruptTensor(*source_.file, record_, "it leans on a unit that its base has not");
    }
    return ReadCodedBlock(*place, block_, workspace_.levels[level_].base);
  }

  Result<Part> ReadPeer(const Codec& codec) {
    const auto refuse = [&](const char* what) {
      return CorruptTensor(*source_.file, record_, what);
    };
    if (!record_.peer) return refuse("a block leans on a peer that it does not name");
    const TensorInfo& peer = source_.file->index().tensors[*record_.peer].info;
    if (!codec.SupportsPeer(peer.dtype)) return refuse("its peer has a dtype that does not fit");
    const size_t word = WordBytes(peer.dtype);
    const uint64_t offset = first_word_ * word;
    const size_t bytes = parts_[0].words() * word;
    if (source_.known != nullptr && !(*source_.known)[*record_.peer].empty()) {
      return Part{peer.dtype, (*source_.known)[*record_.peer].subspan(offset, bytes)};
    }
    const MutableBytes out = Room(workspace_.levels[level_].peer, bytes);
    BITSNAP_TRY(DecodeRange(source_, *record_.peer, offset, out, workspace_, level_ + 1));
    return Part{peer.dtype, out};
  }

  const SnapshotSource& source_;
  const size_t tensor_;
  const TensorRecord& record_;
  const uint64_t block_;
  const MutableParts& parts_;
  const uint64_t first_word_;  // of the block in its tensors
  Workspace& workspace_;
  const size_t level_;
};

bool IsRaw(const BlockRecord& block) { return FindCodec(block.codec) == &FallbackCodec(); }

tl::unexpected<Error> LeansTooFar(const SnapshotSource& source, size_t tensor) {
  return CorruptTensor(*source.file, source.file->index().tensors[tensor],
                       "it leans on too many others");
}

Result<void> DecodePayload(const SnapshotSource& source, size_t tensor, uint64_t block,
                           const MutableParts& parts, Workspace& workspace, size_t level) {
  const SnapshotReader& file = *source.file;
  const TensorRecord& record = file.index().tensors[tensor];
  const BlockRecord& coded = record.blocks[block];
  // Raw blocks of one part need no second copy.
  if (IsRaw(coded) && parts.size() == 1 && coded.coded_bytes == parts[0].bytes.size()) {
    return file.ReadBlock(tensor, block, parts[0].bytes);
  }
  BITSNAP_ASSIGN(const Codec* codec, CodecOf(file, record, coded, parts));
  if (level >= Workspace::kLevels) return LeansTooFar(source, tensor);
  ContextReader reader(source, tensor, block, parts, workspace, level);
  BITSNAP_ASSIGN(const BlockContext context, reader.Read(*codec));
  const MutableBytes payload = Room(workspace.levels[level].coded, coded.coded_bytes);
  BITSNAP_TRY(file.ReadBlock(tensor, block, payload));
  Result<void> decoded = codec->Decode(context, payload, parts, workspace.scratch);
  return decoded ? decoded : AtBlock(file, record, block, decoded.error());
}

// A block kept from last time, or decoded anew.
Result<Bytes> WholeBlock(const Place& place, uint64_t block, Workspace& workspace, size_t level) {
  if (level >= Workspace::kLevels) return LeansTooFar(place.source, place.tensor);
  Workspace::Level& kept = workspace.levels[level];
  const BlockId id{place.source.file, place.tensor, block};
  const size_t words = place.shape.Words(block);
  const MutableBytes out = Room(kept.block, words * place.shape.row_bytes());
  if (kept.id == id) return out;
  kept.id = {};
  BITSNAP_TRY(DecodeBlock(place.source, place.tensor, block, place.shape.CutBlock(out, words),
                          workspace, level));
  kept.id = id;
  return out;
}

}  // namespace

MutableBytes Room(std::vector<std::byte>& buffer, size_t bytes) {
  if (buffer.size() < std::max(bytes, kBlockBytes)) buffer.resize(std::max(bytes, kBlockBytes));
  return MutableBytes(buffer).first(bytes);
}

Place Locate(const SnapshotSource& source, size_t tensor) {
  const auto& tensors = source.file->index().tensors;
  const TensorRecord& record = tensors[tensor];
  switch (record.storage) {
    case Storage::kBlocks:
      return {source, tensor, 0, ShapeOf(*source.file, tensor)};
    case Storage::kSameAsTensor:
      return Locate(source, record.same_as);
    case Storage::kSecondOfPair:
      return {source, record.same_as, 1, ShapeOf(*source.file, record.same_as)};
    case Storage::kSameAsBase:
      break;
  }
  return Locate({source.base, nullptr}, *record.base_tensor);
}

std::optional<Place> LocateUnit(const SnapshotSource& source, std::span<const uint32_t> tensors) {
  const Place first = Locate(source, tensors[0]);
  if (first.shape.parts() != tensors.size()) return std::nullopt;
  for (size_t k = 0; k < tensors.size(); ++k) {
    const Place place = Locate(source, tensors[k]);
    const bool is_part =
        place.part == k && place.source.file == first.source.file && place.tensor == first.tensor;
    if (!is_part) return std::nullopt;
  }
  return first;
}

Result<CodedBlock> ReadCodedBlock(const Place& place, uint64_t block,
                                  std::vector<std::byte>& room) {
  const SnapshotReader& file = *place.source.file;
  const TensorRecord& record = file.index().tensors[place.tensor];
  const BlockRecord& coded = record.blocks[block];
  const MutableBytes payload = Room(room, coded.coded_bytes);
  BITSNAP_TRY(file.ReadBlock(place.tensor, block, payload));
  return CodedBlock{static_cast<CodecId>(coded.codec), record.params, payload,
                    place.shape.Words(block) * place.shape.row_bytes()};
}

Result<void> DecodeBlock(const SnapshotSource& source, size_t tensor, uint64_t block,
                         const MutableParts& parts, Workspace& workspace, size_t level) {
  BITSNAP_TRY(DecodePayload(source, tensor, block, parts, workspace, level));
  // What leans on this block is checked once it is decoded itself.
  if (level > 0) return {};
  const TensorRecord& record = source.file->index().tensors[tensor];
  const BlockRecord& coded = record.blocks[block];
  // Reading a raw block has compared its checksum already.
  const uint64_t checksum = IsRaw(coded) ? coded.coded_checksum : ChecksumOfAll(BytesOf(parts));
  if (checksum == coded.raw_checksum) return {};
  return CorruptTensor(*source.file, record,
                       fmt::format("block {} decodes to other bytes than were saved; restore an "
                                   "older step",
                                   block));
}

Result<void> DecodeRange(const SnapshotSource& source, size_t tensor, uint64_t offset,
                         MutableBytes out, Workspace& workspace, size_t level) {
  const Place place = Locate(source, tensor);
  const UnitShape& shape = place.shape;
  const size_t per_block = shape.PartBytes(place.part);
  while (!out.empty()) {
    const uint64_t block = offset / per_block;
    const size_t skip = offset % per_block, words = shape.Words(block);
    const size_t part_bytes =
        shape.PartBegin(place.part + 1, words) - shape.PartBegin(place.part, words);
    const size_t wanted = std::min(part_bytes - skip, out.size());
    if (wanted == words * shape.row_bytes()) {
      BITSNAP_TRY(DecodeBlock(place.source, place.tensor, block,
                              shape.CutBlock(out.first(wanted), words), workspace, level));
    } else {
      BITSNAP_ASSIGN(const Bytes whole, WholeBlock(place, block, workspace, level));
      std::memcpy(out.data(), whole.data() + shape.PartBegin(place.part, words) + skip, wanted);
    }
    offset += wanted;
    out = out.subspan(wanted);
  }
  return {};
}

Result<PartList<Bytes>> DecodeParts(const SnapshotSource& source, std::span<const uint32_t> tensors,
                                    uint64_t first_word, const MutableParts& parts,
                                    Workspace& workspace, size_t level) {
  for (size_t k = 0; k < parts.size(); ++k) {
    const uint64_t offset = first_word * WordBytes(parts[k].dtype);
    BITSNAP_TRY(DecodeRange(source, tensors[k], offset, parts[k].bytes, workspace, level));
  }
  return BytesOf(parts);
}

}  // namespace bitsnap
