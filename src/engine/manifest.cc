#include "engine/manifest.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "base/parallel.h"
#include "engine/kernel_copy.h"

namespace bitsnap {
namespace {

constexpr uint64_t kAlignment = 64;
// Small enough to share out evenly, large enough that handing them out costs nothing.
constexpr uint64_t kPieceBytes = uint64_t{4} << 20;

struct Piece {
  const std::byte* from;
  std::byte* to;
  size_t bytes;
};

struct HashOfBytes {
  size_t operator()(Bytes bytes) const {
    return std::hash<const std::byte*>()(bytes.data()) * 31 + bytes.size();
  }
};

struct IsSameMemory {
  bool operator()(Bytes a, Bytes b) const { return a.data() == b.data() && a.size() == b.size(); }
};

std::vector<Piece> Pieces(std::span<const TensorView> tensors, const Manifest& manifest,
                          MutableBytes arena) {
  std::vector<Piece> pieces;
  uint64_t copied = 0;  // of the arena, from its front
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t bytes = tensors[i].bytes.size(), offset = manifest.tensors[i].offset;
    if (bytes == 0 || offset < copied) continue;
    copied = offset + bytes;
    for (uint64_t done = 0; done < bytes; done += kPieceBytes) {
      pieces.push_back({tensors[i].bytes.data() + done, arena.data() + offset + done,
                        std::min(kPieceBytes, bytes - done)});
    }
  }
  return pieces;
}

// Where each share of the pieces begins and where the last one ends. A share is one piece, or many
// small ones.
std::vector<size_t> Shares(std::span<const Piece> pieces) {
  std::vector<size_t> shares = {0};
  uint64_t bytes = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (bytes > 0 && bytes + pieces[i].bytes > kPieceBytes) {
      shares.push_back(i);
      bytes = 0;
    }
    bytes += pieces[i].bytes;
  }
  if (!pieces.empty()) shares.push_back(pieces.size());
  return shares;
}

}  // namespace

Manifest Place(std::span<const TensorView> tensors) {
  Manifest manifest;
  manifest.tensors.reserve(tensors.size());
  std::unordered_map<Bytes, uint64_t, HashOfBytes, IsSameMemory> offsets;
  offsets.reserve(tensors.size());
  for (const auto& [info, bytes] : tensors) {
    const auto [entry, is_new] = offsets.try_emplace(bytes, manifest.bytes);
    manifest.tensors.push_back({info, entry->second, bytes.size()});
    if (is_new) manifest.bytes += (bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
  }
  return manifest;
}

Result<void> CopyInto(std::span<const TensorView> tensors, const Manifest& manifest,
                      MutableBytes arena, unsigned threads) {
  const std::vector<Piece> pieces = Pieces(tensors, manifest, arena);
  const std::vector<size_t> shares = Shares(pieces);
  return RunOrdered({
      .count = shares.size() - 1,
      .threads = threads,
      .slots = shares.size(),
      .produce = [&](size_t item, size_t, unsigned) -> Result<void> {
        for (size_t i = shares[item]; i < shares[item + 1]; ++i) {
          StreamCopy(pieces[i].to, pieces[i].from, pieces[i].bytes);
        }
        return {};
      },
      .consume = [](size_t, size_t) -> Result<void> { return {}; },
  });
}

std::vector<TensorView> ViewsOf(const Manifest& manifest, Bytes arena) {
  std::vector<TensorView> views;
  views.reserve(manifest.tensors.size());
  for (const PlacedTensor& tensor : manifest.tensors) {
    views.push_back({tensor.info, arena.subspan(tensor.offset, tensor.bytes)});
  }
  return views;
}

}  // namespace bitsnap
