// The snapshot reader against hostile files. The input's head says what the rest is: a whole file,
// or the stored index of one whose header, footer and checksums are made right around it, since no
// fuzzer guesses a checksum. What opens must be written again the same.
#include <cstdlib>
#include <cstring>

#include "snapshot/test_file.h"

namespace bitsnap {
namespace {

struct Head {
  uint8_t kind;           // 0: plain index, 1: zstd frame, else: whole file
  uint8_t payload_bytes;  // between header and index
  uint16_t raw_bytes;     // that the footer claims for a frame
};
static_assert(sizeof(Head) == 4);

void Require(bool condition) {
  if (!condition) std::abort();
}

FileBytes MakeFile(const Head& head, Bytes rest) {
  if (head.kind > 1) return {rest.begin(), rest.end()};
  const SnapshotHeader header = {.step = 1, .rank = 0, .world_size = 1, .save_id = 2};
  const FileBytes payloads(head.payload_bytes);
  if (head.kind == 0) return Forge(header, payloads, rest);
  FileBytes raw;
  if (!UnstoreIndex(IndexCoding::kZstd, rest, head.raw_bytes, &raw)) return {};
  return Assemble(header, payloads, rest, FooterOf(header, raw, IndexCoding::kZstd, rest));
}

// Drops what a reader ignores; the payload area stays as it is.
FileBytes WriteAgain(const SnapshotReader& reader, Bytes file) {
  size_t payload_bytes = 0;
  for (const TensorRecord& tensor : reader.index().tensors) {
    for (const BlockRecord& block : tensor.blocks) payload_bytes += block.coded_bytes;
  }
  const Bytes payloads = file.subspan(kHeaderBytes, payload_bytes);
  const auto written =
      WriteSample({reader.header(), reader.index(), {payloads.begin(), payloads.end()}});
  Require(written.has_value());
  return *written;
}

void Check(Bytes file) {
  const auto reader = OpenBytes(file);
  if (!reader) return;
  (void)ReadEveryBlock(*reader);
  const FileBytes written = WriteAgain(*reader, file);
  const auto again = OpenBytes(written);
  Require(again.has_value());
  Require(WriteAgain(*again, written) == written);
}

}  // namespace
}  // namespace bitsnap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitsnap;
  Head head;
  if (size < sizeof(head)) return 0;
  std::memcpy(&head, data, sizeof(head));
  Check(MakeFile(head, std::as_bytes(std::span(data, size)).subspan(sizeof(head))));
  return 0;
}
