#include "codec/entropy/rans.h"

#include <htscodecs/rANS_static4x16.h>

#include <algorithm>

namespace bitsnap::rans {
namespace {

constexpr int kMode = RANS_ORDER_X32 | RANS_ORDER_NOSZ;

// The library takes its inputs as non-const but does not write to them.
unsigned char* Cast(const std::byte* p) {
  return reinterpret_cast<unsigned char*>(const_cast<std::byte*>(p));
}

// htscodecs 1.3.0 encodes with AVX-512 where it can, but its gathers make that a quarter slower
// than AVX2 on AMD, and far slower on Intel since the microcode against Downfall; later versions
// avoid them too. The setting holds for the process and changes no byte of the output.
void AvoidSlowEncoder() {
  static const bool done = [] {
    rans_set_cpu(0xffff & ~RANS_CPU_ENC_AVX512);
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace

size_t EncodeBound(size_t symbols) {
  return rans_compress_bound_4x16(static_cast<unsigned>(symbols), kMode);
}

std::optional<size_t> Encode(Bytes symbols, MutableBytes out) {
  AvoidSlowEncoder();
  auto size = static_cast<unsigned>(out.size());
  const auto* result = rans_compress_to_4x16(
      Cast(symbols.data()), static_cast<unsigned>(symbols.size()), Cast(out.data()), &size, kMode);
  if (result == nullptr || size >= symbols.size() || out[0] != std::byte{kMode})
    return std::nullopt;
  return size;
}

bool Decode(Bytes coded, MutableBytes symbols, MutableBytes work) {
  if (coded.size() < 2 || coded[0] != std::byte{kMode}) return false;
  std::ranges::copy(coded, work.begin());
  std::ranges::fill(work.subspan(coded.size(), kDecodePadding), std::byte{0});
  auto size = static_cast<unsigned>(symbols.size());
  const auto* result = rans_uncompress_to_4x16(
      Cast(work.data()), static_cast<unsigned>(coded.size()), Cast(symbols.data()), &size);
  return result != nullptr && size == symbols.size();
}

}  // namespace bitsnap::rans
