#include "pipeline/decode.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/batches.h"

namespace bitsnap {
namespace {

// One block to decode; `out` is the part of it that is wanted, empty when it is only to be checked.
struct Piece {
  BlockRange block;
  size_t skip = 0;  // bytes of the block before `out`
  MutableBytes out;
};

Result<void> DecodePiece(const SnapshotSource& source, const Piece& piece, Workspace& workspace) {
  const auto& [block, skip, out] = piece;
  if (out.size() == block.bytes) {
    return DecodeBlock(source, block.tensor, block.block, out, workspace);
  }
  const MutableBytes whole = MutableBytes(workspace.raw).first(block.bytes);
  BITSNAP_TRY(DecodeBlock(source, block.tensor, block.block, whole, workspace));
  if (!out.empty()) std::memcpy(out.data(), whole.data() + skip, out.size());
  return {};
}

Result<void> DecodeAll(const SnapshotSource& source, const std::vector<Piece>& pieces,
                       unsigned threads, const Progress& progress) {
  uint64_t total = 0, done = 0;
  for (const Piece& piece : pieces) total += piece.block.bytes;
  std::vector<Workspace> workspaces(threads);
  return RunOrdered({
      .count = pieces.size(),
      .threads = threads,
      // Items keep nothing in their slots; many of them let fast threads run ahead of slow ones.
      .slots = size_t{16} * threads,
      .produce =
          [&](size_t item, size_t, unsigned worker) {
            return DecodePiece(source, pieces[item], workspaces[worker]);
          },
      .consume = [&](size_t item, size_t) -> Result<void> {
        done += pieces[item].block.bytes;
        if (progress && !progress(done, total)) {
          return Fail(ErrorKind::kCancelled, "reading was cancelled");
        }
        return {};
      },
  });
}

Result<void> AppendPieces(const SnapshotReader& file, const ReadRequest& request,
                          std::vector<Piece>& pieces) {
  const auto& tensors = file.index().tensors;
  if (request.tensor >= tensors.size()) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{} has no tensor number {}", file.path().string(), request.tensor));
  }
  const uint64_t size = RawBytes(tensors[request.tensor]);
  if (request.offset > size || request.out.size() > size - request.offset) {
    return Fail(
        ErrorKind::kInvalidArgument,
        fmt::format("{}: bytes {} to {} of tensor \"{}\" were asked for, it has {}",
                    file.path().string(), request.offset, request.offset + request.out.size(),
                    tensors[request.tensor].info.name, size));
  }
  for (size_t done = 0; done < request.out.size();) {
    const uint64_t at = request.offset + done;
    const size_t skip = at % kBlockBytes;
    const uint64_t begin = at - skip;
    const size_t block_bytes = static_cast<size_t>(std::min<uint64_t>(kBlockBytes, size - begin));
    const size_t wanted = std::min(block_bytes - skip, request.out.size() - done);
    pieces.push_back(
        {{request.tensor, static_cast<size_t>(begin / kBlockBytes), begin, block_bytes},
         skip,
         request.out.subspan(done, wanted)});
    done += wanted;
  }
  return {};
}

}  // namespace

Result<void> ReadTensors(const SnapshotSource& source, std::span<const ReadRequest> requests,
                         unsigned threads, const Progress& progress) {
  std::vector<Piece> pieces;
  for (const ReadRequest& request : requests) {
    BITSNAP_TRY(AppendPieces(*source.file, request, pieces));
  }
  return DecodeAll(source, pieces, threads, progress);
}

Result<void> VerifyTensors(const SnapshotSource& source, unsigned threads,
                           const Progress& progress) {
  std::vector<BlockRange> blocks;
  const auto& tensors = source.file->index().tensors;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].storage != Storage::kSameAsTensor) AppendBlocks(i, RawBytes(tensors[i]), blocks);
  }
  std::vector<Piece> pieces;
  for (const BlockRange& block : blocks) pieces.push_back({block, 0, {}});
  return DecodeAll(source, pieces, threads, progress);
}

}  // namespace bitsnap
