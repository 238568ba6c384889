#include "codec/delta/runs.h"

#include <algorithm>
#include <bit>

namespace bitsnap::delta {
namespace {

// The next group from `from` on whose bit is `set`, or `groups`.
size_t Find(const GroupBits& bits, bool set, size_t from, size_t groups) {
  while (from < groups) {
    const uint64_t word = (set ? bits[from / 64] : ~bits[from / 64]) >> from % 64;
    if (word != 0) return std::min(from + std::countr_zero(word), groups);
    from = (from / 64 + 1) * 64;
  }
  return groups;
}

std::byte* WriteVarint(size_t value, std::byte* out) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<std::byte>(value | 0x80);
  *out++ = static_cast<std::byte>(value);
  return out;
}

// Two bytes hold every number that a block can have.
size_t ReadVarint(ByteReader& in) {
  const size_t low = in.Int<uint8_t>();
  if (low < 0x80) return low;
  return (low & 0x7f) | size_t{in.Int<uint8_t>()} << 7;
}

}  // namespace

Runs Runs::All(size_t groups) {
  Runs runs;
  runs.Add(0, groups);
  return runs;
}

Runs Runs::Choose(const GroupBits& changed, size_t groups, size_t words, size_t changed_words) {
  // Among changes spread evenly, e^-16 of the gaps are so long, and coding the words of such a gap
  // costs about as many bits as describing it.
  constexpr size_t kMeanGaps = 16;
  constexpr size_t kMinGap = 4;
  // Where hardly anything changed, time is worth more than the bytes.
  constexpr size_t kMaxGap = 64;
  const size_t min_gap = std::clamp(kMeanGaps * words / changed_words / kGroup, kMinGap, kMaxGap);
  Runs runs;
  size_t begin = Find(changed, true, 0, groups);
  if (begin < min_gap) begin = 0;
  size_t end = Find(changed, false, begin, groups);
  while (end < groups) {
    const size_t next = Find(changed, true, end, groups);
    if (next - end >= min_gap) {
      runs.Add(begin, end);
      if (next == groups) return runs;
      begin = next;
    }
    end = Find(changed, false, next, groups);
  }
  runs.Add(begin, groups);
  return runs;
}

std::optional<Runs> Runs::Read(size_t groups, ByteReader& in) {
  Runs runs;
  const size_t count = ReadVarint(in);
  if (count == 0 || count > runs.runs_.size()) return std::nullopt;
  size_t end = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t gap = ReadVarint(in);
    const size_t length = ReadVarint(in);
    if ((i > 0 && gap == 0) || length == 0 || gap + length > groups - end) return std::nullopt;
    runs.Add(end + gap, end + gap + length);
    end += gap + length;
  }
  if (!in.ok()) return std::nullopt;
  return runs;
}

std::byte* Runs::Write(std::byte* out) const {
  out = WriteVarint(size_, out);
  size_t end = 0;
  for (const Run& run : runs()) {
    out = WriteVarint(run.begin - end, out);
    out = WriteVarint(run.end - run.begin, out);
    end = run.end;
  }
  return out;
}

}  // namespace bitsnap::delta
