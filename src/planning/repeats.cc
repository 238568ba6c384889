#include "planning/repeats.h"

#include <array>
#include <cstring>
#include <map>
#include <tuple>

#include "base/checksum.h"

namespace bitsnap {
namespace {

bool SameBytes(Bytes a, Bytes b) {
  return a.data() == b.data() || std::memcmp(a.data(), b.data(), a.size()) == 0;
}

// A checksum of a few pieces spread over the tensor: enough to tell most tensors apart without
// reading them.
uint64_t Fingerprint(Bytes bytes) {
  constexpr size_t kPieces = 16, kPieceBytes = 64;
  if (bytes.size() <= kPieces * kPieceBytes) return Checksum64(bytes);
  std::array<std::byte, kPieces * kPieceBytes> sample;
  const size_t stride = (bytes.size() - kPieceBytes) / (kPieces - 1);
  for (size_t i = 0; i < kPieces; ++i) {
    std::memcpy(sample.data() + i * kPieceBytes, bytes.data() + i * stride, kPieceBytes);
  }
  return Checksum64(sample);
}

}  // namespace

std::vector<std::optional<uint32_t>> FindRepeats(std::span<const TensorView> tensors) {
  std::vector<std::optional<uint32_t>> repeats(tensors.size());
  std::map<std::tuple<Role, DType, size_t, uint64_t>, uint32_t> first_of;
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    const TensorView& tensor = tensors[i];
    if (tensor.bytes.empty()) continue;
    const auto [entry, is_new] = first_of.try_emplace(
        {*tensor.info.role, tensor.info.dtype, tensor.bytes.size(), Fingerprint(tensor.bytes)}, i);
    if (!is_new && SameBytes(tensors[entry->second].bytes, tensor.bytes)) {
      repeats[i] = entry->second;
    }
  }
  return repeats;
}

}  // namespace bitsnap
