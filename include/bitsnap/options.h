// What a caller may ask for when saving and reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

namespace bitsnap {

// What the caller accepts in exchange for size and speed.
enum class Profile {
  kExact,  // all bits back, as small as can be
  kFast,   // all bits back, at memory speed
  kPaper,  // BitSnap as published: packed bitmask for weights, cluster quantization (lossy!) for
           // fp32 optimizer tensors
  // Weights bit-exact; Adam's moments within a bound on the relative error of the update, measured
  // when saving; master weights to the given number of bits beyond a bf16 or fp16 weight. What a
  // bound cannot be kept or measured for is kept exactly.
  kHigh,      // 0.25 %, 8 bits
  kBalanced,  // 1.2 %, 8 bits
  kCompact,   // 5 %, 5 bits
  kTiny,      // 35 %, 2 bits
};

// In the order of the enumerators.
std::span<const Profile> AllProfiles();
std::string_view ProfileName(Profile profile);
std::optional<Profile> ParseProfile(std::string_view name);

// Which snapshot a new one may lean on.
struct BaseChoice {
  enum class Kind {
    kAuto,  // the newest base, where that is at least 5 % smaller than standing alone
    kNone,  // stand alone
    kStep,  // the snapshot of `step`, which must stand alone
  };
  Kind kind = Kind::kAuto;
  uint64_t step = 0;
};

// Called now and then during long work, from one thread at a time, with the bytes done so far and
// in all (raw tensor bytes). Return false to stop: the work then ends with kCancelled and leaves
// the store as it was.
using Progress = std::function<bool(uint64_t done, uint64_t total)>;

// A byte range of one stored tensor, and where it goes.
struct ReadRequest {
  size_t tensor = 0;    // index into Snapshot::tensors()
  uint64_t offset = 0;  // first byte wanted
  std::span<std::byte> out;
};

}  // namespace bitsnap
