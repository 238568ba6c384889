// The fixed pieces of a .bsnap file: the header at its front and the footer at its very end. Both
// keep their size, magic, version and checksum in place in every version of the format, so that an
// older reader can tell a newer file from a damaged one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "snapshot/index.h"

namespace bitsnap {

// What is written and read. Versions 1 and 2 were written by pre-releases and are not read any
// more; from release 1.0 on, every version stays readable.
inline constexpr uint32_t kFormatVersion = 3;
inline constexpr size_t kHeaderBytes = 64;
inline constexpr size_t kFooterBytes = 64;

enum class IndexCoding : uint8_t { kPlain = 0, kZstd = 1 };

// The index ends where the footer begins.
struct Footer {
  uint64_t stored_bytes = 0;     // of the index in the file
  uint64_t raw_bytes = 0;        // of the uncompressed index
  uint64_t stored_checksum = 0;  // Checksum64 of the index in the file
  Hash128 index_hash;            // Checksum128 of the header and the uncompressed index
  IndexCoding coding = IndexCoding::kPlain;
};

std::vector<std::byte> EncodeHeader(const SnapshotHeader& header);
std::vector<std::byte> EncodeFooter(const Footer& footer);

// kCorrupt, kTruncated or kUnsupportedVersion; the messages leave naming the file to the caller.
// Requires: kHeaderBytes or kFooterBytes of them.
Result<SnapshotHeader> ParseHeader(Bytes bytes);
Result<Footer> ParseFooter(Bytes bytes);

// The error for what this version does not know although its checksum is right.
tl::unexpected<Error> FailNewer(std::string_view what);

}  // namespace bitsnap
