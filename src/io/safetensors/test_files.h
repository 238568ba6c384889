// For tests: safetensors files from literals.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "io/safetensors/layout.h"

namespace bitsnap {

inline std::string LengthBytes(uint64_t length) {
  return {reinterpret_cast<const char*>(&length), kLengthBytes};
}

inline std::string FileOf(std::string_view header, std::string_view data) {
  return LengthBytes(header.size()) + std::string(header) + std::string(data);
}

inline void WriteFile(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

inline std::string Text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace bitsnap
