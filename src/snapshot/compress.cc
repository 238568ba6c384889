#include "snapshot/compress.h"

#include <algorithm>
#include <memory>

#include <zstd.h>

#include "snapshot/index_memory.h"

namespace bitsnap {
namespace {

constexpr size_t kMinBytes = 256;  // less gains nothing, and stays legible in a hex dump
constexpr int kLevel = 3;
constexpr int kWindowLog = 21;       // what a decoder must be ready to keep: 2 MiB
constexpr uint64_t kMaxRatio = 128;  // an index that shrinks further is a bomb, or stored plainly
constexpr size_t kStepBytes = 1 << 17;

using Compressor = std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)>;
using Decompressor = std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)>;

tl::unexpected<Error> BadFrame() {
  return Fail(ErrorKind::kCorrupt, "the compressed index is damaged");
}

bool IsPlausible(size_t frame_bytes, uint64_t raw_bytes) {
  return raw_bytes / kMaxRatio <= frame_bytes;
}

Result<void> Decompress(Bytes stored, uint64_t raw_bytes, std::vector<std::byte>* out) {
  if (!IsPlausible(stored.size(), raw_bytes)) {
    return Fail(ErrorKind::kCorrupt, "the index claims to be impossibly well compressed");
  }
  const Decompressor context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kWindowLog);
  ZSTD_inBuffer in{stored.data(), stored.size(), 0};
  const size_t end = out->size() + raw_bytes;
  for (size_t status = 1; status != 0;) {
    const size_t begin = out->size();
    out->resize(std::min(end, begin + kStepBytes));
    ZSTD_outBuffer piece{out->data() + begin, out->size() - begin, 0};
    const size_t consumed = in.pos;
    status = ZSTD_decompressStream(context.get(), &piece, &in);
    out->resize(begin + piece.pos);
    const bool stuck = piece.pos == 0 && in.pos == consumed;
    if (ZSTD_isError(status) || (status != 0 && stuck)) return BadFrame();
  }
  if (out->size() != end || in.pos != in.size) return BadFrame();
  return {};
}

// Empty when zstd fails.
std::vector<std::byte> Compress(Bytes raw) {
  const Compressor context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, kWindowLog);
  std::vector<std::byte> frame(ZSTD_compressBound(raw.size()));
  const size_t size =
      ZSTD_compress2(context.get(), frame.data(), frame.size(), raw.data(), raw.size());
  frame.resize(ZSTD_isError(size) ? 0 : size);
  return frame;
}

}  // namespace

StoredIndex StoreIndex(Bytes raw, uint64_t memory) {
  if (raw.size() >= kMinBytes) {
    std::vector<std::byte> frame = Compress(raw);
    if (frame.size() < raw.size() && IsPlausible(frame.size(), raw.size()) &&
        memory <= IndexMemoryLimit(frame.size())) {
      return {IndexCoding::kZstd, std::move(frame)};
    }
  }
  return {IndexCoding::kPlain, {raw.begin(), raw.end()}};
}

Result<void> UnstoreIndex(IndexCoding coding, Bytes stored, uint64_t raw_bytes,
                          std::vector<std::byte>* out) {
  if (raw_bytes > std::min(kMaxIndexBytes, IndexMemoryLimit(stored.size()))) {
    return Fail(ErrorKind::kCorrupt, "the index claims to be larger than any can be");
  }
  if (coding == IndexCoding::kZstd) return Decompress(stored, raw_bytes, out);
  if (stored.size() != raw_bytes) {
    return Fail(ErrorKind::kCorrupt, "the plain index has two different lengths");
  }
  out->insert(out->end(), stored.begin(), stored.end());
  return {};
}

}  // namespace bitsnap
