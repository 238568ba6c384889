#include "pipeline/decode.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <tuple>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/decode_block.h"

namespace bitsnap {
namespace {

// A part of one block that is wanted.
struct Piece {
  Place place;
  uint64_t block = 0;
  size_t begin = 0;  // in the block's raw bytes, all parts
  MutableBytes out;
};

// Pieces of the same block, so that it is decoded once, whoever asks for it how often: all tensors
// of a unit, tied tensors, slices. None: the block is only to be checked.
struct BlockJob {
  Place place;  // of any of the unit's tensors
  uint64_t block = 0;
  std::span<const Piece> pieces;  // in order of `begin`

  size_t words() const { return place.shape.Words(block); }
  size_t bytes() const { return words() * place.shape.row_bytes(); }
};

// The pieces' places where they are all parts of the block, whole; empty where they are not.
MutableParts WholeParts(const BlockJob& job, const MutableParts& parts) {
  if (job.pieces.size() != parts.size()) return {};
  MutableParts whole;
  for (size_t k = 0; k < parts.size(); ++k) {
    const Piece& piece = job.pieces[k];
    const bool is_whole = piece.begin == job.place.shape.PartBegin(k, job.words()) &&
                          piece.out.size() == parts[k].bytes.size();
    if (!is_whole) return {};
    whole.push_back({parts[k].dtype, piece.out});
  }
  return whole;
}

Result<void> DecodeJob(const BlockJob& job, Workspace& workspace) {
  const auto& [place, block, pieces] = job;
  const MutableBytes room = Room(workspace.raw, job.bytes());
  const MutableParts parts = place.shape.CutBlock(room, job.words());
  const MutableParts whole = WholeParts(job, parts);
  BITSNAP_TRY(
      DecodeBlock(place.source, place.tensor, block, whole.empty() ? parts : whole, workspace));
  if (!whole.empty()) return {};
  for (const Piece& piece : pieces) {
    std::memcpy(piece.out.data(), room.data() + piece.begin, piece.out.size());
  }
  return {};
}

bool LeansOnPeer(const SnapshotReader& file, size_t tensor) {
  return file.index().tensors[tensor].peer.has_value();
}

// Decodes blocks that lean on no other tensor of their snapshot before those that do. Reorders the
// jobs.
Result<void> DecodeAll(std::span<BlockJob> jobs, unsigned threads, const Progress& progress) {
  uint64_t total = 0, done = 0;
  for (const BlockJob& job : jobs) total += job.bytes();
  const auto leaning = std::stable_partition(jobs.begin(), jobs.end(), [](const BlockJob& job) {
    return !LeansOnPeer(*job.place.source.file, job.place.tensor);
  });
  std::vector<Workspace> workspaces(threads);
  const auto decode = [&](std::span<const BlockJob> some) {
    return RunOrdered({
        .count = some.size(),
        .threads = threads,
        // Items keep nothing in their slots; many of them let fast threads run ahead of slow ones.
        .slots = size_t{16} * threads,
        .produce = [&](size_t item, size_t,
                       unsigned worker) { return DecodeJob(some[item], workspaces[worker]); },
        .consume = [&](size_t item, size_t) -> Result<void> {
          done += some[item].bytes();
          if (progress && !progress(done, total)) {
            return Fail(ErrorKind::kCancelled, "reading was cancelled");
          }
          return {};
        },
    });
  };
  BITSNAP_TRY(decode(std::span(jobs.begin(), leaning)));
  return decode(std::span(leaning, jobs.end()));
}

// Where the tensors that lean on no other will be, once they are decoded: those that are asked for
// whole.
std::vector<Bytes> WholeTensors(const SnapshotSource& source,
                                std::span<const ReadRequest> requests) {
  const auto& tensors = source.file->index().tensors;
  std::vector<Bytes> whole(tensors.size());
  for (const ReadRequest& request : requests) {
    const Place place = Locate(source, request.tensor);
    const bool is_whole = request.out.size() == RawBytes(tensors[request.tensor]);
    if (is_whole && !LeansOnPeer(*place.source.file, place.tensor)) {
      whole[request.tensor] = request.out;
    }
  }
  return whole;
}

Result<void> AppendPieces(const SnapshotSource& source, const ReadRequest& request,
                          std::vector<Piece>& pieces) {
  const SnapshotReader& file = *source.file;
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
  const Place place = Locate(source, request.tensor);
  const size_t per_block = place.shape.PartBytes(place.part);
  for (size_t done = 0; done < request.out.size();) {
    const uint64_t at = request.offset + done, block = at / per_block;
    const size_t skip = at % per_block, words = place.shape.Words(block);
    const size_t begin = place.shape.PartBegin(place.part, words) + skip;
    const size_t wanted =
        std::min(place.shape.PartBegin(place.part + 1, words) - begin, request.out.size() - done);
    pieces.push_back({place, block, begin, request.out.subspan(done, wanted)});
    done += wanted;
  }
  return {};
}

// One job for each block, in the order of the file. Sorts the pieces.
std::vector<BlockJob> GroupByBlock(std::vector<Piece>& pieces) {
  const auto key = [](const Piece& piece) {
    return std::tuple(piece.place.source.base == nullptr, piece.place.source.file,
                      piece.place.tensor, piece.block);
  };
  std::ranges::stable_sort(pieces, std::less{}, [&](const Piece& piece) {
    return std::tuple_cat(key(piece), std::tuple(piece.begin));
  });
  std::vector<BlockJob> jobs;
  for (size_t begin = 0, end = 0; begin < pieces.size(); begin = end) {
    while (end < pieces.size() && key(pieces[end]) == key(pieces[begin])) ++end;
    const Piece& first = pieces[begin];
    jobs.push_back({first.place, first.block, std::span(pieces).subspan(begin, end - begin)});
  }
  return jobs;
}

}  // namespace

Result<void> ReadTensors(const SnapshotSource& source, std::span<const ReadRequest> requests,
                         unsigned threads, const Progress& progress) {
  // What leans on a tensor that is read as well takes it from there.
  std::vector<Bytes> known;
  const SnapshotSource with_known{source.file, source.base, &known};
  std::vector<Piece> pieces;
  for (const ReadRequest& request : requests) {
    BITSNAP_TRY(AppendPieces(with_known, request, pieces));
  }
  known = WholeTensors(source, requests);
  std::vector<BlockJob> jobs = GroupByBlock(pieces);
  return DecodeAll(jobs, threads, progress);
}

Result<void> VerifyTensors(const SnapshotSource& source, unsigned threads,
                           const Progress& progress) {
  std::vector<BlockJob> jobs;
  for (size_t i = 0; i < source.file->index().tensors.size(); ++i) {
    const TensorRecord& tensor = source.file->index().tensors[i];
    const bool is_checked_elsewhere =
        tensor.storage == Storage::kSameAsTensor || tensor.storage == Storage::kSecondOfPair;
    if (is_checked_elsewhere) continue;
    const Place place = Locate(source, i);
    for (uint64_t block = 0; block < place.shape.blocks(); ++block) {
      jobs.push_back({place, block, {}});
    }
  }
  return DecodeAll(jobs, threads, progress);
}

}  // namespace bitsnap
