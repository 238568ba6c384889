#include "engine/memory_snapshot.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <bitsnap/roles.h>

#include "base/parallel.h"
#include "base/try.h"
#include "store/snapshot.h"

namespace bitsnap {
namespace {

// Large enough for memcpy to bypass the caches, small enough to share out evenly.
constexpr uint64_t kPieceBytes = uint64_t{32} << 20;

struct Piece {
  const std::byte* from;
  std::span<std::byte> to;
};

class MemorySnapshot final : public Snapshot::Impl {
 public:
  MemorySnapshot(const SaveOptions& options, std::shared_ptr<void> owner)
      : owner_(std::move(owner)) {
    step = options.step;
    rank = options.rank;
    world_size = options.world_size;
    save_id = options.save_id;
    profile = ProfileName(Profile::kExact);  // whatever the file will lose
    metadata = options.metadata;
  }

  void AddTensor(const TensorView& view) {
    StoredTensor tensor;
    tensor.info = view.info;
    if (!tensor.info.role) InferRoles({&tensor.info, 1});
    tensor.codec = "raw";
    tensor.raw_bytes = tensor.stored_bytes = view.bytes.size();
    tensor.why = "in memory";
    Add(std::move(tensor));
    contents_.push_back(view.bytes);
  }

  Result<void> Read(std::span<const ReadRequest> requests, unsigned threads,
                    const Progress& progress) const override {
    std::vector<Piece> pieces;
    for (const ReadRequest& request : requests) BITSNAP_TRY(AppendPieces(request, pieces));
    uint64_t total = 0, done = 0;
    for (const Piece& piece : pieces) total += piece.to.size();
    return RunOrdered({
        .count = pieces.size(),
        .threads = ThreadCount(threads),
        .slots = std::max<size_t>(pieces.size(), 1),
        .produce = [&](size_t item, size_t, unsigned) -> Result<void> {
          std::memcpy(pieces[item].to.data(), pieces[item].from, pieces[item].to.size());
          return {};
        },
        .consume = [&](size_t item, size_t) -> Result<void> {
          done += pieces[item].to.size();
          if (!progress || progress(done, total)) return {};
          return Fail(ErrorKind::kCancelled, "reading was cancelled");
        },
    });
  }

  // Nothing was coded that could be wrong.
  Result<void> Verify(unsigned, const Progress&) const override { return {}; }

 private:
  Result<void> AppendPieces(const ReadRequest& request, std::vector<Piece>& pieces) const {
    const Bytes content = request.tensor < contents_.size() ? contents_[request.tensor] : Bytes();
    if (request.offset > content.size() || request.out.size() > content.size() - request.offset) {
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("step {} in memory: bytes {} to {} of tensor number {} were asked "
                              "for, it has {}",
                              step, request.offset, request.offset + request.out.size(),
                              request.tensor, content.size()));
    }
    for (size_t begin = 0; begin < request.out.size(); begin += kPieceBytes) {
      const size_t size = std::min<size_t>(kPieceBytes, request.out.size() - begin);
      pieces.push_back({content.data() + request.offset + begin, request.out.subspan(begin, size)});
    }
    return {};
  }

  const std::shared_ptr<void> owner_;
  std::vector<Bytes> contents_;  // of each tensor
};

bool Fits(const PlacedTensor& tensor, uint64_t memory) {
  return tensor.offset <= memory && tensor.bytes <= memory - tensor.offset &&
         TensorBytes(tensor.info.dtype, tensor.info.shape) == tensor.bytes;
}

}  // namespace

Result<Snapshot> OpenMemory(const Manifest& manifest, const SaveOptions& options, Bytes memory,
                            std::shared_ptr<void> owner) {
  for (const PlacedTensor& tensor : manifest.tensors) {
    if (Fits(tensor, memory.size())) continue;
    return Fail(ErrorKind::kCorrupt, fmt::format("step {} in memory: tensor \"{}\" is not there",
                                                 options.step, tensor.info.name));
  }
  auto impl = std::make_unique<MemorySnapshot>(options, std::move(owner));
  for (const TensorView& view : ViewsOf(manifest, memory)) impl->AddTensor(view);
  return Snapshot(std::move(impl));
}

}  // namespace bitsnap
