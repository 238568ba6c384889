#include "codec/entropy/even.h"

#include <cstring>

#include "codec/entropy/bits.h"

namespace bitsnap::even {
namespace {

// Moves the 7 high bits of 8 bytes together, or back, by twos, by fours and by eights.
uint64_t PackGroup(uint64_t x) {
  x = (x >> 1 & 0x007f007f007f007f) | (x >> 2 & 0x3f803f803f803f80);
  x = (x & 0x00003fff00003fff) | (x >> 2 & 0x0fffc0000fffc000);
  return (x & 0x000000000fffffff) | (x >> 4 & 0x00fffffff0000000);
}

uint64_t UnpackGroup(uint64_t x) {
  x = (x & 0x000000000fffffff) | (x << 4 & 0x0fffffff00000000);
  x = (x & 0x00003fff00003fff) | (x << 2 & 0x3fff00003fff0000);
  return (x << 1 & 0x00fe00fe00fe00fe) | (x << 2 & 0xfe00fe00fe00fe00);
}

constexpr size_t kGroup = 8;  // bytes that become 7

}  // namespace

bool IsEven(Bytes plane) {
  uint64_t all = 0;
  size_t i = 0;
  for (; i + sizeof(all) <= plane.size(); i += sizeof(all)) {
    uint64_t word;
    std::memcpy(&word, &plane[i], sizeof(word));
    all |= word;
  }
  for (; i < plane.size(); ++i) all |= std::to_integer<uint64_t>(plane[i]);
  return (all & 0x0101010101010101) == 0;
}

void Pack(Bytes plane, std::byte* out) {
  size_t i = 0;
  for (; i + kGroup <= plane.size(); i += kGroup, out += 7) {
    uint64_t group;
    std::memcpy(&group, &plane[i], sizeof(group));
    group = PackGroup(group);
    std::memcpy(out, &group, sizeof(group));
  }
  BitWriter rest(out);
  for (; i < plane.size(); ++i) rest.Write(std::to_integer<uint8_t>(plane[i]) >> 1, 7);
}

bool Unpack(Bytes packed, MutableBytes plane) {
  size_t i = 0, at = 0;
  for (; at + kGroup <= packed.size(); i += kGroup, at += 7) {
    uint64_t group;
    std::memcpy(&group, &packed[at], sizeof(group));
    group = UnpackGroup(group & 0x00ffffffffffffff);
    std::memcpy(&plane[i], &group, sizeof(group));
  }
  BitReader rest(packed.subspan(at));
  for (; i < plane.size(); ++i) plane[i] = static_cast<std::byte>(rest.Read(7) << 1);
  return rest.size() == 0 || rest.ZeroPadded();
}

}  // namespace bitsnap::even
