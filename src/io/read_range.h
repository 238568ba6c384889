// Reading beyond a file's end.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>

#include <bitsnap/result.h>

namespace bitsnap {

inline bool RangeInFile(uint64_t offset, uint64_t size, uint64_t file_size) {
  return offset <= file_size && size <= file_size - offset;
}

inline tl::unexpected<Error> ReadPastEnd(const std::filesystem::path& path, uint64_t offset,
                                         uint64_t size, uint64_t file_size) {
  return Fail(ErrorKind::kTruncated,
              fmt::format("{} ends at byte {}, before the {} bytes wanted from byte {}",
                          path.string(), file_size, size, offset));
}

}  // namespace bitsnap
