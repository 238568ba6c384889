#include "engine/manifest.h"

#include <algorithm>
#include <map>

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

}  // namespace

Manifest Place(std::span<const TensorView> tensors) {
  Manifest manifest;
  manifest.tensors.reserve(tensors.size());
  std::map<std::pair<const std::byte*, size_t>, uint64_t> offsets;
  for (const auto& [info, bytes] : tensors) {
    const auto [entry, is_new] = offsets.try_emplace({bytes.data(), bytes.size()}, manifest.bytes);
    manifest.tensors.push_back({info, entry->second, bytes.size()});
    if (is_new) manifest.bytes += (bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
  }
  return manifest;
}

Result<void> CopyInto(std::span<const TensorView> tensors, const Manifest& manifest,
                      MutableBytes arena, unsigned threads) {
  const std::vector<Piece> pieces = Pieces(tensors, manifest, arena);
  return RunOrdered({
      .count = pieces.size(),
      .threads = threads,
      .slots = std::max<size_t>(pieces.size(), 1),
      .produce = [&](size_t item, size_t, unsigned) -> Result<void> {
        StreamCopy(pieces[item].to, pieces[item].from, pieces[item].bytes);
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
