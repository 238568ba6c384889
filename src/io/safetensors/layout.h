// What a safetensors file holds and where. A pure function of the file's bytes.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <bitsnap/result.h>
#include <bitsnap/tensor.h>

#include "base/bytes.h"

namespace bitsnap {

// The format's limit; the length itself takes 8 bytes before the header.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr uint64_t kLengthBytes = 8;

struct SafetensorsLayout {
  std::vector<TensorView> tensors;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

// Checks `file`, a whole safetensors file, and describes it; the views point into `file`.
// kTruncated when bytes are missing at its end, kCorrupt for everything else; `path` is for
// messages.
Result<SafetensorsLayout> ParseSafetensors(Bytes file, const std::filesystem::path& path);

}  // namespace bitsnap
