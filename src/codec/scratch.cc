#include "codec/codec.h"

namespace bitsnap {

MutableBytes Scratch::Get(size_t slot, size_t bytes) {
  constexpr size_t kAlignment = 64;
  std::vector<std::byte>& buffer = slots_[slot];
  if (buffer.size() < bytes + kAlignment) buffer.resize(bytes + kAlignment);
  const auto address = reinterpret_cast<uintptr_t>(buffer.data());
  const size_t skip = (kAlignment - address % kAlignment) % kAlignment;
  return MutableBytes(buffer).subspan(skip, bytes);
}

}  // namespace bitsnap
