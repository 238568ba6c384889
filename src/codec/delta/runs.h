// Which groups of kGroup words are coded; all others equal their base.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "codec/codec.h"
#include "codec/delta/kernel.h"

namespace bitsnap::delta {

inline constexpr size_t kMaxGroups = kBlockBytes / sizeof(uint16_t) / kGroup;
using GroupBits = std::array<uint64_t, kMaxGroups / 64>;

// Groups [begin, end).
struct Run {
  uint16_t begin;
  uint16_t end;
};

// In order, with a gap between any two.
class Runs {
 public:
  // All of `groups` in one run.
  static Runs All(size_t groups);
  // Every changed group, and the unchanged ones between them where skipping would not pay.
  // Requires: some group has changed.
  static Runs Choose(const GroupBits& changed, size_t groups, size_t words, size_t changed_words);
  // Reads what Write wrote; nullopt when it is malformed.
  static std::optional<Runs> Read(size_t groups, ByteReader& in);

  // Bytes that Write needs at most.
  static constexpr size_t kMaxBytes = 3 * kMaxGroups;
  // Returns the end of what it wrote.
  std::byte* Write(std::byte* out) const;

  std::span<const Run> runs() const { return std::span(runs_).first(size_); }
  bool CoverAll(size_t groups) const {
    return size_ == 1 && runs_[0].begin == 0 && runs_[0].end == groups;
  }

 private:
  void Add(size_t begin, size_t end) {
    runs_[size_++] = {static_cast<uint16_t>(begin), static_cast<uint16_t>(end)};
  }

  size_t size_ = 0;
  std::array<Run, kMaxGroups / 2> runs_;
};

}  // namespace bitsnap::delta
