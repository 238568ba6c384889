#include "snapshot/index_coding.h"

#include <fmt/format.h>

#include "base/checked.h"
#include "base/try.h"
#include "snapshot/index_memory.h"
#include "snapshot/index_rules.h"
#include "snapshot/layout.h"

namespace bitsnap {
namespace {

// Bytes of one block in all columns of the block table.
constexpr uint64_t kBlockRowBytes = 1 + 4 + 8 + 8;
constexpr uint64_t kAncestorBytes = 8 + 8;
constexpr uint32_t kLineageTag = 0x454e494c;  // "LINE"

void PutText(ByteWriter& out, std::string_view text) {
  out.Int(static_cast<uint16_t>(text.size()));
  out.Raw(AsBytes(text));
}

std::string GetText(ByteReader& in) {
  const Bytes raw = in.Raw(in.Int<uint16_t>());
  return {reinterpret_cast<const char*>(raw.data()), raw.size()};
}

tl::unexpected<Error> EndsInside(std::string_view what) {
  return Fail(ErrorKind::kCorrupt, fmt::format("the index ends inside {}", what));
}

// Fields that most tensors lack stand at the end of the record, or not at all.
void EncodeExtension(const TensorRecord& tensor, uint32_t number, ByteWriter& out) {
  if (!tensor.second && !tensor.peer && tensor.params.empty()) return;
  out.Int(static_cast<uint8_t>(tensor.second.has_value()));
  out.Int(tensor.second ? *tensor.second - number : 0);
  out.Int(static_cast<uint8_t>(tensor.peer.has_value()));
  out.Int(tensor.peer ? *tensor.peer - number : 0);
  out.Int(static_cast<uint32_t>(tensor.params.size()));
  out.Raw(tensor.params);
}

Result<void> ParseExtension(ByteReader& in, uint32_t number, TensorRecord& tensor) {
  if (in.remaining() == 0) return {};
  const auto has_second = in.Int<uint8_t>();
  const auto second_difference = in.Int<uint32_t>();
  const auto has_peer = in.Int<uint8_t>();
  const auto peer_difference = in.Int<uint32_t>();
  const Bytes params = in.Raw(in.Int<uint32_t>());
  if (!in.ok()) return EndsInside(fmt::format("the extension of tensor {}", number));
  if (has_second > 1 || has_peer > 1) {
    return FailNewer(fmt::format("a flag of tensor '{}'", tensor.info.name));
  }
  if (has_second) tensor.second = number + second_difference;
  if (has_peer) tensor.peer = number + peer_difference;
  tensor.params.assign(params.begin(), params.end());
  return {};
}

// Base tensors usually have their own tensor's index, and blocks follow the tensor before: written
// as differences, both are zeros, which zstd makes vanish.
std::vector<std::byte> EncodeTensor(const TensorRecord& tensor, uint32_t number,
                                    uint64_t expected_offset) {
  std::vector<std::byte> bytes;
  ByteWriter out(&bytes);
  PutText(out, tensor.info.name);
  PutText(out, tensor.info.group);
  PutText(out, tensor.why);
  out.Int(static_cast<uint8_t>(tensor.info.dtype));
  out.Int(static_cast<uint8_t>(*tensor.info.role));
  out.Int(static_cast<uint8_t>(tensor.storage));
  out.Int(static_cast<uint8_t>(tensor.base_tensor.has_value()));
  out.Int(tensor.base_tensor ? *tensor.base_tensor - number : 0);
  out.Int(tensor.same_as);
  out.Int(tensor.blocks.empty() ? 0 : tensor.data_offset - expected_offset);
  out.Int(static_cast<uint16_t>(tensor.info.shape.size()));
  for (uint64_t dimension : tensor.info.shape) out.Int(dimension);
  out.Int(static_cast<uint16_t>(tensor.error.size()));
  for (const Metric& metric : tensor.error) {
    PutText(out, metric.name);
    out.Double(metric.value);
  }
  EncodeExtension(tensor, number, out);
  return bytes;
}

// Leaves in data_offset what EncodeTensor wrote there, for ResolveOffsets.
Result<TensorRecord> ParseTensor(Bytes bytes, uint32_t number) {
  ByteReader in(bytes);
  TensorRecord tensor;
  tensor.info.name = GetText(in);
  tensor.info.group = GetText(in);
  tensor.why = GetText(in);
  const auto dtype = in.Int<uint8_t>();
  const auto role = in.Int<uint8_t>();
  const auto storage = in.Int<uint8_t>();
  const auto has_base = in.Int<uint8_t>();
  const auto base_difference = in.Int<uint32_t>();
  tensor.same_as = in.Int<uint32_t>();
  tensor.data_offset = in.Int<uint64_t>();
  ByteReader shape(in.Raw(uint64_t{8} * in.Int<uint16_t>()));
  while (shape.remaining() > 0) tensor.info.shape.push_back(shape.Int<uint64_t>());
  for (int metrics = in.Int<uint16_t>(); metrics > 0 && in.ok(); --metrics) {
    std::string name = GetText(in);
    tensor.error.push_back({std::move(name), in.Double()});
  }
  if (!in.ok()) return EndsInside(fmt::format("the record of tensor {}", number));

  const auto unknown = [&](std::string_view what, unsigned code) {
    return FailNewer(fmt::format("{} {} of tensor '{}'", what, code, tensor.info.name));
  };
  const auto known_dtype = DTypeFromCode(dtype);
  if (!known_dtype) return unknown("dtype", dtype);
  tensor.info.dtype = *known_dtype;
  tensor.info.role = RoleFromCode(role);
  if (!tensor.info.role) return unknown("role", role);
  if (storage > static_cast<uint8_t>(Storage::kSecondOfPair)) return unknown("storage", storage);
  tensor.storage = static_cast<Storage>(storage);
  if (has_base > 1) return unknown("base flag", has_base);
  if (has_base) tensor.base_tensor = number + base_difference;
  BITSNAP_TRY(ParseExtension(in, number, tensor));
  return tensor;
}

// `blocks` and those of `tensor`.
Result<uint64_t> AddBlocks(uint64_t blocks, const TensorRecord& tensor, uint32_t block_bytes) {
  const auto bytes = BlockedBytes(tensor);
  const auto sum = bytes ? CheckedAdd(blocks, CeilDiv(*bytes, block_bytes)) : std::nullopt;
  if (sum) return *sum;
  return Fail(ErrorKind::kCorrupt,
              fmt::format("tensor '{}' has no possible size", tensor.info.name));
}

// From differences to offsets; these may still be wrong, but wrap instead of overflowing.
void ResolveOffsets(SnapshotIndex* index) {
  uint64_t end = kHeaderBytes;
  for (TensorRecord& tensor : index->tensors) {
    if (tensor.blocks.empty()) {
      tensor.data_offset = 0;
      continue;
    }
    tensor.data_offset += end;
    end = tensor.data_offset + CodedBytes(tensor);
  }
}

Result<void> CheckMemory(const IndexMemory& memory, uint64_t limit) {
  if (memory.Bytes() <= limit) return {};
  return Fail(ErrorKind::kCorrupt,
              fmt::format("the index would take more than {} bytes of memory, which is out of "
                          "proportion to what is stored",
                          limit));
}

// Reads the four columns into all tensors' blocks, of which there are `total`.
// Requires: that many rows are left.
void ParseBlocks(ByteReader& in, uint64_t total, SnapshotIndex* index) {
  ByteReader codecs(in.Raw(total));
  ByteReader sizes(in.Raw(total * 4));
  ByteReader coded_checksums(in.Raw(total * 8));
  ByteReader raw_checksums(in.Raw(total * 8));
  for (TensorRecord& tensor : index->tensors) {
    // Cannot fail or be larger than `total`, which is the sum of these.
    tensor.blocks.resize(CeilDiv(*BlockedBytes(tensor), index->block_bytes));
    for (BlockRecord& block : tensor.blocks) {
      block.codec = codecs.Int<uint8_t>();
      block.coded_bytes = sizes.Int<uint32_t>();
      block.coded_checksum = coded_checksums.Int<uint64_t>();
      block.raw_checksum = raw_checksums.Int<uint64_t>();
    }
  }
}

// All but tensors and blocks.
void EncodeFront(const SnapshotIndex& index, ByteWriter& out) {
  out.Int(index.block_bytes);
  PutText(out, index.profile);
  out.String(index.metadata);
  out.Int(static_cast<uint8_t>(index.base.has_value()));
  if (!index.base) return;
  out.Int(index.base->step);
  out.Int(index.base->index_hash.low);
  out.Int(index.base->index_hash.high);
}

Result<SnapshotIndex> ParseFront(ByteReader& in) {
  SnapshotIndex index;
  index.block_bytes = in.Int<uint32_t>();
  index.profile = GetText(in);
  index.metadata = in.String();
  const auto has_base = in.Int<uint8_t>();
  if (has_base > 1) return FailNewer(fmt::format("base flag {}", has_base));
  if (has_base) {
    const auto step = in.Int<uint64_t>();
    const auto low = in.Int<uint64_t>();
    index.base = BaseReference{step, {low, in.Int<uint64_t>()}};
  }
  if (!in.ok()) return EndsInside("its first fields");
  if (index.block_bytes == 0) return Fail(ErrorKind::kCorrupt, "blocks of 0 bytes cannot be");
  return index;
}

void EncodeBlocks(const SnapshotIndex& index, ByteWriter& out) {
  const auto column = [&](auto member) {
    for (const TensorRecord& tensor : index.tensors) {
      for (const BlockRecord& block : tensor.blocks) out.Int(block.*member);
    }
  };
  column(&BlockRecord::codec);
  column(&BlockRecord::coded_bytes);
  column(&BlockRecord::coded_checksum);
  column(&BlockRecord::raw_checksum);
}

void EncodeLineage(const Lineage& lineage, ByteWriter& out) {
  if (lineage.run == 0) return;
  std::vector<std::byte> record;
  ByteWriter fields(&record);
  fields.Int(lineage.run);
  fields.Int(lineage.order);
  fields.Int(static_cast<uint8_t>(lineage.parent.has_value()));
  const ParentSave parent = lineage.parent.value_or(ParentSave());
  fields.Int(parent.step);
  fields.Int(parent.save_id);
  fields.Int(static_cast<uint32_t>(lineage.ancestors.size()));
  for (const Ancestor& ancestor : lineage.ancestors) {
    fields.Int(ancestor.run);
    fields.Int(ancestor.up_to);
  }
  out.Int(kLineageTag);
  out.Int(static_cast<uint32_t>(record.size()));
  out.Raw(record);
}

Result<Lineage> ParseLineage(Bytes record) {
  ByteReader fields(record);
  Lineage lineage;
  lineage.run = fields.Int<uint64_t>();
  lineage.order = fields.Int<uint64_t>();
  const auto has_parent = fields.Int<uint8_t>();
  const auto step = fields.Int<uint64_t>();
  const ParentSave parent{step, fields.Int<uint64_t>()};
  const auto count = fields.Int<uint32_t>();
  ByteReader ancestors(fields.Raw(uint64_t{count} * kAncestorBytes));
  if (!fields.ok()) return EndsInside("the lineage");
  if (has_parent > 1) return FailNewer(fmt::format("parent flag {}", has_parent));
  if (count > kMaxAncestors) {
    return Fail(ErrorKind::kCorrupt, fmt::format("a lineage of {} runs is too long", count));
  }
  if (has_parent) lineage.parent = parent;
  lineage.ancestors.reserve(count);
  while (ancestors.remaining() > 0) {
    const auto run = ancestors.Int<uint64_t>();
    lineage.ancestors.push_back({run, ancestors.Int<uint64_t>()});
  }
  return lineage;
}

// Sections of newer versions are skipped, and so is whatever else stands at the end.
Result<void> ParseSections(ByteReader& in, SnapshotIndex* index) {
  while (in.remaining() > 0) {
    const auto tag = in.Int<uint32_t>();
    const Bytes section = in.Raw(in.Int<uint32_t>());
    if (tag == kLineageTag && !in.ok()) return EndsInside("the lineage");
    if (!in.ok()) return {};
    if (tag != kLineageTag) continue;
    BITSNAP_ASSIGN(index->lineage, ParseLineage(section));
  }
  return {};
}

}  // namespace

void EncodeIndex(const SnapshotIndex& index, std::vector<std::byte>* bytes) {
  ByteWriter out(bytes);
  EncodeFront(index, out);
  out.Int(static_cast<uint32_t>(index.tensors.size()));
  uint64_t end = kHeaderBytes;
  for (uint32_t i = 0; const TensorRecord& tensor : index.tensors) {
    const std::vector<std::byte> record = EncodeTensor(tensor, i++, end);
    out.Int(static_cast<uint32_t>(record.size()));
    out.Raw(record);
    if (!tensor.blocks.empty()) end = tensor.data_offset + CodedBytes(tensor);
  }
  EncodeBlocks(index, out);
  EncodeLineage(index.lineage, out);
}

Result<SnapshotIndex> ParseIndex(Bytes bytes, uint64_t memory_limit) {
  ByteReader in(bytes);
  BITSNAP_ASSIGN(SnapshotIndex index, ParseFront(in));
  const auto count = in.Int<uint32_t>();
  if (!in.ok()) return EndsInside("the number of tensors");
  uint64_t blocks = 0;
  IndexMemory memory{.raw_bytes = bytes.size()};
  for (uint32_t i = 0; i < count; ++i) {
    const Bytes record = in.Raw(in.Int<uint32_t>());
    if (!in.ok()) return EndsInside(fmt::format("the record of tensor {}", i));
    BITSNAP_ASSIGN(TensorRecord tensor, ParseTensor(record, i));
    BITSNAP_ASSIGN(blocks, AddBlocks(blocks, tensor, index.block_bytes));
    ++memory.tensors;
    memory.metrics += tensor.error.size();
    BITSNAP_TRY(CheckMemory(memory, memory_limit));
    index.tensors.push_back(std::move(tensor));
  }
  if (blocks > in.remaining() / kBlockRowBytes) return EndsInside("the block table");
  memory.blocks = blocks;
  BITSNAP_TRY(CheckMemory(memory, memory_limit));
  ParseBlocks(in, blocks, &index);
  ResolveOffsets(&index);
  BITSNAP_TRY(ParseSections(in, &index));
  return index;
}

}  // namespace bitsnap
