#include "engine/memory_snapshot.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include <bitsnap/roles.h>

#include "base/parallel.h"
#include "base/try.h"
#include "engine/memory_file.h"
#include "store/snapshot.h"

namespace bitsnap {
namespace {

// Large enough that a call costs nothing, small enough to share out evenly.
constexpr uint64_t kPieceBytes = uint64_t{4} << 20;

struct Piece {
  uint64_t offset;  // in the file
  MutableBytes out;
};

// Requires: the file's size cannot change, and the piece lies in it.
Result<void> ReadPiece(int file, Piece piece) {
  while (!piece.out.empty()) {
    const ssize_t got =
        pread(file, piece.out.data(), piece.out.size(), static_cast<off_t>(piece.offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return Fail(ErrorKind::kIo,
                  fmt::format("cannot read shared memory: {}",
                              std::generic_category().message(got < 0 ? errno : EIO)));
    }
    piece.offset += static_cast<uint64_t>(got);
    piece.out = piece.out.subspan(static_cast<size_t>(got));
  }
  return {};
}

// Reads the memory as a file: mapping its pages would take longer than the copy.
class MemorySnapshot final : public Snapshot::Impl {
 public:
  MemorySnapshot(const SaveOptions& options, Fd file, std::shared_ptr<void> owner)
      : owner_(std::move(owner)), file_(std::move(file)) {
    step = options.step;
    rank = options.rank;
    world_size = options.world_size;
    save_id = options.save_id;
    profile = ProfileName(Profile::kExact);  // whatever the file will lose
    metadata = options.metadata;
    lineage = options.lineage.value_or(Lineage());
  }

  void AddTensor(const PlacedTensor& placed) {
    StoredTensor tensor;
    tensor.info = placed.info;
    if (!tensor.info.role) InferRoles({&tensor.info, 1});
    tensor.codec = "raw";
    tensor.raw_bytes = tensor.stored_bytes = placed.bytes;
    tensor.why = "in memory";
    Add(std::move(tensor));
    places_.push_back({placed.offset, placed.bytes});
  }

  Result<void> Read(std::span<const ReadRequest> requests, unsigned threads,
                    const Progress& progress) const override {
    std::vector<Piece> pieces;
    for (const ReadRequest& request : requests) BITSNAP_TRY(AppendPieces(request, pieces));
    uint64_t total = 0, done = 0;
    for (const Piece& piece : pieces) total += piece.out.size();
    return RunOrdered({
        .count = pieces.size(),
        .threads = ThreadCount(threads),
        .slots = std::max<size_t>(pieces.size(), 1),
        .produce = [&](size_t item, size_t,
                       unsigned) { return ReadPiece(file_.get(), pieces[item]); },
        .consume = [&](size_t item, size_t) -> Result<void> {
          done += pieces[item].out.size();
          if (!progress || progress(done, total)) return {};
          return Fail(ErrorKind::kCancelled, "reading was cancelled");
        },
    });
  }

  // Nothing was coded that could be wrong.
  Result<void> Verify(unsigned, const Progress&) const override { return {}; }

 private:
  Result<void> AppendPieces(const ReadRequest& request, std::vector<Piece>& pieces) const {
    const Place place = request.tensor < places_.size() ? places_[request.tensor] : Place();
    if (request.offset > place.bytes || request.out.size() > place.bytes - request.offset) {
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("step {} in memory: bytes {} to {} of tensor number {} were asked "
                              "for, it has {}",
                              step, request.offset, request.offset + request.out.size(),
                              request.tensor, place.bytes));
    }
    for (size_t begin = 0; begin < request.out.size(); begin += kPieceBytes) {
      const size_t size = std::min<size_t>(kPieceBytes, request.out.size() - begin);
      pieces.push_back({place.offset + request.offset + begin, request.out.subspan(begin, size)});
    }
    return {};
  }

  struct Place {
    uint64_t offset = 0, bytes = 0;  // in the file
  };
  const std::shared_ptr<void> owner_;
  const Fd file_;
  std::vector<Place> places_;  // of each tensor
};

bool Fits(const PlacedTensor& tensor, uint64_t memory) {
  return tensor.offset <= memory && tensor.bytes <= memory - tensor.offset &&
         TensorBytes(tensor.info.dtype, tensor.info.shape) == tensor.bytes;
}

}  // namespace

Result<Snapshot> OpenMemory(const Manifest& manifest, const SaveOptions& options, Fd file,
                            std::shared_ptr<void> owner) {
  BITSNAP_ASSIGN(const uint64_t bytes, MemoryFileSize(file.get()));
  for (const PlacedTensor& tensor : manifest.tensors) {
    if (Fits(tensor, bytes)) continue;
    return Fail(ErrorKind::kCorrupt, fmt::format("step {} in memory: tensor \"{}\" is not there",
                                                 options.step, tensor.info.name));
  }
  auto impl = std::make_unique<MemorySnapshot>(options, std::move(file), std::move(owner));
  for (const PlacedTensor& tensor : manifest.tensors) impl->AddTensor(tensor);
  return Snapshot(std::move(impl));
}

}  // namespace bitsnap
