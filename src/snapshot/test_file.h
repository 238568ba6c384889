// Snapshot files for tests and fuzzers, made with the writer or forged around it. Header only, so
// that a fuzzer needs no further source.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "base/try.h"
#include "io/memory.h"
#include "snapshot/compress.h"
#include "snapshot/index_coding.h"
#include "snapshot/layout.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"

namespace bitsnap {

using FileBytes = std::vector<std::byte>;

inline constexpr char kTestPath[] = "/rank-00001-of-00003.bsnap";

// What a file is made of.
struct Sample {
  SnapshotHeader header;
  SnapshotIndex index;
  FileBytes payloads;
};

// What SnapshotWriter makes of the sample.
inline Result<FileBytes> WriteSample(const Sample& sample) {
  MemoryFileSystem files;
  BITSNAP_ASSIGN(const auto out, files.Create(kTestPath));
  BITSNAP_ASSIGN(SnapshotWriter writer, SnapshotWriter::Start(out.get(), sample.header));
  BITSNAP_TRY(writer.Append(sample.payloads));
  BITSNAP_TRY(writer.Finish(sample.index));
  BITSNAP_ASSIGN(const auto in, files.Open(kTestPath));
  FileBytes bytes(in->size());
  BITSNAP_TRY(in->Read(0, bytes));
  return bytes;
}

// Header, payloads, index and footer as given, right or wrong.
inline FileBytes Assemble(const SnapshotHeader& header, Bytes payloads, Bytes stored_index,
                          const Footer& footer) {
  FileBytes file = EncodeHeader(header);
  ByteWriter out(&file);
  out.Raw(payloads);
  out.Raw(stored_index);
  out.Raw(EncodeFooter(footer));
  return file;
}

// The footer that fits an index stored in this way.
inline Footer FooterOf(const SnapshotHeader& header, Bytes raw_index, IndexCoding coding,
                       Bytes stored_index) {
  FileBytes hashed = EncodeHeader(header);
  ByteWriter(&hashed).Raw(raw_index);
  return {stored_index.size(), raw_index.size(), Checksum64(stored_index), Checksum128(hashed),
          coding};
}

// A file whose every checksum is right, around an uncompressed index of any content.
inline FileBytes Forge(const SnapshotHeader& header, Bytes payloads, Bytes raw_index) {
  return Assemble(header, payloads, raw_index,
                  FooterOf(header, raw_index, IndexCoding::kPlain, raw_index));
}

// The sample as a file, although its index may break the rules.
inline FileBytes Forge(const Sample& sample) {
  FileBytes raw;
  EncodeIndex(sample.index, &raw);
  return Forge(sample.header, sample.payloads, raw);
}

inline Result<SnapshotReader> OpenBytes(Bytes file) {
  MemoryFileSystem files;
  BITSNAP_ASSIGN(const auto out, files.Create(kTestPath));
  BITSNAP_TRY(out->Append(file));
  BITSNAP_ASSIGN(auto in, files.Open(kTestPath));
  return SnapshotReader::Open(std::move(in));
}

inline Result<void> ReadEveryBlock(const SnapshotReader& reader) {
  const auto& tensors = reader.index().tensors;
  for (size_t t = 0; t < tensors.size(); ++t) {
    for (size_t b = 0; b < tensors[t].blocks.size(); ++b) {
      FileBytes payload(tensors[t].blocks[b].coded_bytes);
      BITSNAP_TRY(reader.ReadBlock(t, b, payload));
    }
  }
  return {};
}

}  // namespace bitsnap
