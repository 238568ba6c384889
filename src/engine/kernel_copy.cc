#include "engine/kernel_copy.h"

#include <cstdint>
#include <cstring>

#include "hwy/cache_control.h"
#include "hwy/highway.h"

namespace bitsnap {
namespace hn = hwy::HWY_NAMESPACE;

// The narrowest vectors reach the memory's speed, so one target will do.
void StreamCopy(std::byte* to, const std::byte* from, size_t bytes) {
  constexpr size_t kLine = 64;
  const hn::CappedTag<uint8_t, kLine> d;
  const size_t lines = bytes / kLine * kLine;
  for (size_t at = 0; at < lines; at += kLine) {
    for (size_t i = at; i < at + kLine; i += hn::Lanes(d)) {
      hn::Stream(hn::LoadU(d, reinterpret_cast<const uint8_t*>(from) + i), d,
                 reinterpret_cast<uint8_t*>(to) + i);
    }
  }
  hwy::FlushStream();
  std::memcpy(to + lines, from + lines, bytes - lines);
}

}  // namespace bitsnap
