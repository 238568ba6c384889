#include "snapshot/layout.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {
namespace {

// The first byte is no text, and the line end breaks when a transfer takes the file for text.
constexpr std::string_view kHeaderMagic =
    "\x89"
    "BSNAP\r\n";
constexpr std::string_view kFooterMagic = "BSNAPEND";
constexpr size_t kHeaderReserved = 16;
constexpr size_t kFooterReserved = 3;

bool AllZero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

bool Equal(Bytes bytes, std::string_view text) { return std::ranges::equal(bytes, AsBytes(text)); }

Result<void> CheckVersion(uint32_t version) {
  if (version == 0) return Fail(ErrorKind::kCorrupt, "format version 0 does not exist");
  if (version > kFormatVersion) return FailNewer(fmt::format("format version {}", version));
  if (version < kFormatVersion) {
    return Fail(
        ErrorKind::kUnsupportedVersion,
        fmt::format("format version {} was written by a pre-release of bitsnap and cannot be "
                    "read any more: restore it with the commit that wrote it, and save it "
                    "anew",
                    version));
  }
  return {};
}

}  // namespace

tl::unexpected<Error> FailNewer(std::string_view what) {
  return Fail(ErrorKind::kUnsupportedVersion,
              fmt::format("{} is unknown to this version: upgrade bitsnap", what));
}

std::vector<std::byte> EncodeHeader(const SnapshotHeader& header) {
  std::vector<std::byte> bytes;
  bytes.reserve(kHeaderBytes);
  ByteWriter out(&bytes);
  out.Raw(AsBytes(kHeaderMagic));
  out.Int(kFormatVersion);
  out.Int(header.rank);
  out.Int(header.world_size);
  out.Int(uint32_t{0});
  out.Int(header.step);
  out.Int(header.save_id);
  bytes.resize(bytes.size() + kHeaderReserved);
  out.Int(Checksum64(bytes));
  return bytes;
}

Result<SnapshotHeader> ParseHeader(Bytes bytes) {
  ByteReader in(bytes);
  if (!Equal(in.Raw(kHeaderMagic.size()), kHeaderMagic)) {
    return Fail(ErrorKind::kCorrupt, "not a BitSnap snapshot: it begins with other bytes");
  }
  const size_t covered = kHeaderBytes - sizeof(uint64_t);
  if (ByteReader(bytes.subspan(covered)).Int<uint64_t>() != Checksum64(bytes.first(covered))) {
    return Fail(ErrorKind::kCorrupt, "the header does not match its checksum");
  }
  BITSNAP_TRY(CheckVersion(in.Int<uint32_t>()));
  SnapshotHeader header;
  header.rank = in.Int<uint32_t>();
  header.world_size = in.Int<uint32_t>();
  const auto reserved = in.Int<uint32_t>();
  header.step = in.Int<uint64_t>();
  header.save_id = in.Int<uint64_t>();
  if (reserved != 0 || !AllZero(in.Raw(kHeaderReserved))) {
    return Fail(ErrorKind::kCorrupt, "reserved bytes of the header are not zero");
  }
  if (header.rank >= header.world_size) {
    return Fail(ErrorKind::kCorrupt,
                fmt::format("rank {} in a world of {} cannot be", header.rank, header.world_size));
  }
  return header;
}

std::vector<std::byte> EncodeFooter(const Footer& footer) {
  std::vector<std::byte> bytes;
  bytes.reserve(kFooterBytes);
  ByteWriter out(&bytes);
  out.Int(footer.stored_bytes);
  out.Int(footer.raw_bytes);
  out.Int(footer.stored_checksum);
  out.Int(footer.index_hash.low);
  out.Int(footer.index_hash.high);
  out.Int(static_cast<uint8_t>(footer.coding));
  bytes.resize(bytes.size() + kFooterReserved);
  out.Int(kFormatVersion);
  out.Int(Checksum64(bytes));
  out.Raw(AsBytes(kFooterMagic));
  return bytes;
}

Result<Footer> ParseFooter(Bytes bytes) {
  const Bytes covered = bytes.first(kFooterBytes - sizeof(uint64_t) - kFooterMagic.size());
  const bool magic = Equal(bytes.last(kFooterMagic.size()), kFooterMagic);
  const bool checksum =
      ByteReader(bytes.subspan(covered.size())).Int<uint64_t>() == Checksum64(covered);
  if (!magic && !checksum) {
    return Fail(ErrorKind::kTruncated, "ends early (interrupted write or copy?)");
  }
  if (!magic || !checksum) {
    return Fail(ErrorKind::kCorrupt, "the footer does not match its checksum");
  }
  ByteReader in(covered);
  Footer footer;
  footer.stored_bytes = in.Int<uint64_t>();
  footer.raw_bytes = in.Int<uint64_t>();
  footer.stored_checksum = in.Int<uint64_t>();
  footer.index_hash.low = in.Int<uint64_t>();
  footer.index_hash.high = in.Int<uint64_t>();
  const auto coding = in.Int<uint8_t>();
  const bool reserved_zero = AllZero(in.Raw(kFooterReserved));
  BITSNAP_TRY(CheckVersion(in.Int<uint32_t>()));
  if (!reserved_zero) {
    return Fail(ErrorKind::kCorrupt, "reserved bytes of the footer are not zero");
  }
  if (coding > static_cast<uint8_t>(IndexCoding::kZstd)) {
    return FailNewer(fmt::format("index coding {}", coding));
  }
  footer.coding = static_cast<IndexCoding>(coding);
  return footer;
}

}  // namespace bitsnap
