#include "snapshot/index_rules.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>
#include <string_view>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "base/checked.h"
#include "snapshot/layout.h"

namespace bitsnap {
namespace {

using Fault = std::optional<std::string>;

constexpr size_t kShownBytes = 256;  // of a name that may be the fault

std::string_view Shown(const TensorRecord& tensor) {
  return std::string_view(tensor.info.name).substr(0, kShownBytes);
}

bool SameSize(const TensorRecord& a, const TensorRecord& b) {
  return a.info.dtype == b.info.dtype &&
         TensorBytes(a.info.dtype, a.info.shape) == TensorBytes(b.info.dtype, b.info.shape);
}

Fault FaultOfLengths(const TensorRecord& tensor) {
  const auto too_long = [](const auto& list) { return list.size() > kMaxLength; };
  const bool metrics_too_long = std::ranges::any_of(
      tensor.error, [&](const Metric& metric) { return too_long(metric.name); });
  if (too_long(tensor.info.name) || too_long(tensor.info.group) || too_long(tensor.why) ||
      too_long(tensor.info.shape) || metrics_too_long) {
    return fmt::format("has a name, group, reason, shape or metric longer than {}", kMaxLength);
  }
  if (tensor.error.size() > kMaxMetrics) {
    return fmt::format("has {} metrics, more than {}", tensor.error.size(), kMaxMetrics);
  }
  return {};
}

Fault FaultOfBlocks(const TensorRecord& tensor, uint32_t block_bytes) {
  const uint64_t bytes = *BlockedBytes(tensor);
  const uint64_t count = CeilDiv(bytes, block_bytes);
  if (tensor.blocks.size() != count) {
    return fmt::format("has {} blocks where its {} bytes make {}", tensor.blocks.size(), bytes,
                       count);
  }
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t raw_bytes = std::min<uint64_t>(block_bytes, bytes - i * block_bytes);
    if (tensor.blocks[i].coded_bytes > raw_bytes) {
      return fmt::format("has in block {} {} coded bytes for {} raw ones", i,
                         tensor.blocks[i].coded_bytes, raw_bytes);
    }
  }
  return {};
}

// Of either half of a pair: they must name each other.
Fault FaultOfPair(const SnapshotIndex& index, size_t number, uint32_t other_number) {
  if (other_number >= index.tensors.size()) return "is paired with a tensor that does not exist";
  const TensorRecord& tensor = index.tensors[number];
  const TensorRecord& other = index.tensors[other_number];
  const bool is_first = tensor.second.has_value();
  const TensorRecord& second = is_first ? other : tensor;
  const TensorRecord& first = is_first ? tensor : other;
  if (second.storage != Storage::kSecondOfPair ||
      second.same_as != (is_first ? number : other_number) ||
      first.second != (is_first ? other_number : number)) {
    return "is paired with a tensor that is not paired with it";
  }
  if (!SameSize(first, second)) return "is paired with a tensor of another dtype or size";
  return {};
}

uint64_t ElementsTimesBits(const TensorRecord& tensor) {
  return *TensorBytes(tensor.info.dtype, tensor.info.shape) * 8;
}

Fault FaultOfPeer(const SnapshotIndex& index, size_t number) {
  const TensorRecord& tensor = index.tensors[number];
  if (!tensor.peer) return {};
  if (*tensor.peer >= index.tensors.size() || *tensor.peer == number) {
    return "names a peer that does not exist";
  }
  const TensorRecord& peer = index.tensors[*tensor.peer];
  const auto bits = TensorBytes(peer.info.dtype, peer.info.shape);
  if (!bits || ElementsTimesBits(peer) / BitsPerElement(peer.info.dtype) !=
                   ElementsTimesBits(tensor) / BitsPerElement(tensor.info.dtype)) {
    return "has a peer of another size";
  }
  if (peer.peer || peer.second || peer.storage == Storage::kSecondOfPair) {
    return "has a peer that leans on others itself";
  }
  return {};
}

Fault FaultOfStorage(const SnapshotIndex& index, size_t number) {
  const TensorRecord& tensor = index.tensors[number];
  if (tensor.base_tensor && !index.base) return "names a base tensor in a snapshot without a base";
  const bool elsewhere =
      tensor.storage == Storage::kSameAsTensor || tensor.storage == Storage::kSecondOfPair;
  if (!elsewhere && tensor.same_as != 0) return "names a tensor to repeat but does not repeat it";
  if (tensor.storage != Storage::kBlocks &&
      (tensor.second || tensor.peer || !tensor.params.empty())) {
    return "says how its blocks are coded but has none";
  }
  switch (tensor.storage) {
    case Storage::kBlocks:
      if (tensor.second) {
        if (Fault fault = FaultOfPair(index, number, *tensor.second)) return fault;
      }
      return FaultOfBlocks(tensor, index.block_bytes);
    case Storage::kSameAsBase:
      if (!tensor.base_tensor) return "equals a base tensor but names none";
      break;
    case Storage::kSameAsTensor: {
      if (tensor.base_tensor) return "repeats a tensor and names a base tensor too";
      if (tensor.same_as >= number) return "repeats a tensor that does not stand before it";
      const TensorRecord& twin = index.tensors[tensor.same_as];
      if (twin.storage == Storage::kSameAsTensor) return "repeats a tensor that itself repeats one";
      if (!SameSize(tensor, twin)) return "repeats a tensor of another dtype or size";
      break;
    }
    case Storage::kSecondOfPair:
      if (Fault fault = FaultOfPair(index, number, tensor.same_as)) return fault;
      break;
  }
  if (!tensor.blocks.empty()) return "has blocks although its bytes are elsewhere";
  return {};
}

Fault FaultOfTensor(const SnapshotIndex& index, size_t number) {
  const TensorRecord& tensor = index.tensors[number];
  if (!tensor.info.role) return "has no role";
  if (!BlockedBytes(tensor)) {
    return "has no possible size: its shape overflows or does not fill whole bytes";
  }
  if (Fault fault = FaultOfLengths(tensor)) return fault;
  if (Fault fault = FaultOfPeer(index, number)) return fault;
  return FaultOfStorage(index, number);
}

// By sorting: of names that are made to have one hash, a set would compare each with each.
Fault FaultOfNames(const SnapshotIndex& index) {
  std::vector<uint32_t> order(index.tensors.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto name = [&](uint32_t number) -> const std::string& {
    return index.tensors[number].info.name;
  };
  std::ranges::sort(order, std::less{}, name);
  const auto twins = std::ranges::adjacent_find(order, std::equal_to{}, name);
  if (twins == order.end()) return {};
  return fmt::format("two tensors are named '{}'", Shown(index.tensors[*twins]));
}

// Every byte between header and index must belong to exactly one block: so each is protected by a
// checksum, and a missing or doubled piece of the file is seen without reading payloads.
Fault FaultOfPlacement(const SnapshotIndex& index, uint64_t payload_end) {
  struct Extent {
    uint64_t offset;
    uint64_t bytes;
    const TensorRecord* tensor;
  };
  std::vector<Extent> extents;
  for (const TensorRecord& tensor : index.tensors) {
    if (tensor.blocks.empty()) continue;
    extents.push_back({tensor.data_offset, CodedBytes(tensor), &tensor});
  }
  std::ranges::sort(extents, [](const Extent& a, const Extent& b) {
    return std::tie(a.offset, a.bytes) < std::tie(b.offset, b.bytes);
  });
  uint64_t end = kHeaderBytes;
  for (const Extent& extent : extents) {
    if (extent.offset != end || extent.bytes > payload_end - end) {
      return fmt::format(
          "tensor '{}' has its blocks at {} to {}, where the payloads before them end at {} and "
          "the index begins at {}",
          Shown(*extent.tensor), extent.offset, extent.offset + extent.bytes, end, payload_end);
    }
    end += extent.bytes;
  }
  if (end != payload_end) {
    return fmt::format("bytes {} to {} belong to no tensor", end, payload_end);
  }
  return {};
}

// Order decides which run is the newest: none may stand beside run 0 or above all that can come.
Fault FaultOfLineage(const Lineage& lineage) {
  if (lineage.run == 0) {
    const bool says_nothing = lineage == Lineage();
    return says_nothing ? Fault() : "a lineage of no run says where it comes from";
  }
  if (lineage.order == 0 || lineage.order > kMaxRunOrder) {
    return fmt::format("a run of order {} is outside 1 to 2^62", lineage.order);
  }
  if (lineage.ancestors.size() > kMaxAncestors) return "a lineage of so many runs is too long";
  std::set<uint64_t> runs{lineage.run};
  for (const Ancestor& ancestor : lineage.ancestors) {
    if (!runs.insert(ancestor.run).second) {
      return fmt::format("run {:016x} is in a lineage twice", ancestor.run);
    }
  }
  return {};
}

}  // namespace

Fault FindFault(const SnapshotIndex& index, uint64_t payload_end) {
  if (index.block_bytes == 0 || index.block_bytes > kMaxBlockBytes) {
    return fmt::format("blocks of {} bytes are outside 1 to 2^30", index.block_bytes);
  }
  if (index.profile.size() > kMaxLength) return "the profile's name is too long";
  for (size_t i = 0; i < index.tensors.size(); ++i) {
    if (const Fault fault = FaultOfTensor(index, i)) {
      return fmt::format("tensor '{}' {}", Shown(index.tensors[i]), *fault);
    }
  }
  if (Fault fault = FaultOfNames(index)) return fault;
  if (Fault fault = FaultOfLineage(index.lineage)) return fault;
  return FaultOfPlacement(index, payload_end);
}

}  // namespace bitsnap
