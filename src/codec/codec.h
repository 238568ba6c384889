// A codec turns one block of a tensor into fewer bytes and back. The pipeline and the registry know
// codecs only through this interface; adding one is one folder and one line in registry.cc.
//
// Every codec folder has: kernel.h/.cc (pure loops over spans that allocate nothing, SIMD by
// Highway's dynamic dispatch), kernel_ref.h/.cc (the plain version, the oracle in tests), codec.cc
// (this interface: checks, scratch, errors) and spec.md (what the decoder must do, byte by byte).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <bitsnap/dtype.h>
#include <bitsnap/result.h>
#include <bitsnap/tensor.h>

#include "base/bytes.h"
#include "codec/update_sums.h"

namespace bitsnap {

// Part of the file format: never renumber, only append.
enum class CodecId : uint8_t {
  kRaw = 0,
  kPlanes = 1,
  kBitmask = 2,
  kCluster = 3,
  kDelta = 4,
  kAdam = 5,
  kResidual = 6,
  kAdamDelta = 7,
};

// Raw bytes of all blocks of a tensor but its last. Small enough that a block, its base and its
// coded form stay in a core's L2 cache. A multiple of every WordBytes.
inline constexpr size_t kBlockBytes = size_t{256} << 10;

// Working memory of one thread, kept from block to block so that coding allocates only while the
// first blocks warm it up. Each slot is an independent buffer, aligned to 64 bytes; asking for a
// slot again invalidates what it gave before.
class Scratch {
 public:
  static constexpr size_t kSlots = 4;
  MutableBytes Get(size_t slot, size_t bytes);

 private:
  std::array<std::vector<std::byte>, kSlots> slots_;
};

// The same elements of the tensor that a block leans on in its own snapshot.
struct PeerBlock {
  DType dtype;
  Bytes bytes;
};

// The base's block as it lies in its snapshot. It stands alone.
struct CodedBlock {
  CodecId codec;
  Bytes params;
  Bytes payload;
  size_t raw_bytes;  // at least those of the block that leans on it, whose first elements it holds
};

// In which form a codec takes the base's block.
enum class BaseForm : uint8_t { kNone, kDecoded, kCoded };

// What is known to both encoder and decoder of a block besides its payload.
struct BlockContext {
  DType dtype;
  size_t raw_bytes;                // 1 to kBlockBytes, a multiple of parts() * WordBytes(dtype)
  std::optional<Bytes> base = {};  // the same range of the base's tensor, raw_bytes long
  std::optional<CodedBlock> coded_base = {};  // the same, of BaseForm::kCoded
  std::optional<PeerBlock> peer = {};
  Bytes params = {};        // what Prepare gave for the tensor; from a file when decoding
  uint64_t first_word = 0;  // where the block begins, in words of the tensor (of each part)
  uint64_t row_words = 0;   // words of the tensor's last dimension; 0 or 1 dimensions: all
  Bytes advice = {};        // Prepare's to Encode; empty: none
};

// What the user accepts to lose.
struct Accepted {
  double update_error = 0;    // of Adam's update, ||u - u'|| / ||u|| over a tensor
  unsigned master_bits = 16;  // that a master weight keeps beyond its 16-bit weight, if it has them
  double eps = 1e-8;          // of Adam
};

// A whole tensor, or the two of a pair, before any of its blocks is coded.
struct TensorContext {
  DType dtype;
  Bytes first;        // all of the tensor
  Bytes second = {};  // all of the pair's other tensor, as long as `first`
  uint64_t row_words = 0;
  Accepted accepted = {};
  Bytes base_params = {};          // of the base's tensor, for a codec of BaseForm::kCoded
  std::optional<DType> peer = {};  // that of the peer, where there is one
};

struct Prepared {
  std::vector<std::byte> params;       // BlockContext::params of all blocks; stored in the snapshot
  std::vector<std::byte> advice = {};  // BlockContext::advice of all blocks; not stored
};

// A block coded with loss.
struct LossyBlock {
  size_t bytes = 0;
  UpdateSums update = {};  // what a pair lost
};

// Stateless; safe to use from several threads.
class Codec {
 public:
  virtual ~Codec() = default;
  virtual CodecId id() const = 0;
  virtual std::string_view name() const = 0;
  // Whether a decoder gives back every bit of a tensor with these parameters.
  virtual bool IsLossless(Bytes /*params*/) const { return true; }
  // Whether a decoder needs the base's block. Of such a codec, zero bytes are a block that equals
  // its decoded base; one of BaseForm::kDecoded codes such blocks so.
  virtual bool needs_base() const { return false; }
  // The form in which a base, where there is one, changes the coded bytes.
  virtual BaseForm base_form() const { return needs_base() ? BaseForm::kDecoded : BaseForm::kNone; }
  // Whether it needs the block of a peer, whose dtype it must support as such.
  virtual bool needs_peer() const { return false; }
  virtual bool SupportsPeer(DType) const { return false; }
  // 2 for a codec of pairs: its blocks hold the same range of two tensors, one after the other.
  virtual size_t parts() const { return 1; }
  virtual bool Supports(DType dtype) const = 0;

  // Chooses what all blocks of a tensor share; nullopt when the codec cannot serve the tensor as
  // the user accepts. Depends on nothing but its argument.
  virtual std::optional<Prepared> Prepare(const TensorContext&) const { return Prepared{}; }

  // Largest coded size of a block of `raw_bytes`, and the least size of Encode's `out`, slack for
  // whole-vector stores included.
  virtual size_t EncodeBound(size_t raw_bytes) const = 0;

  // Codes `raw` into the front of `out` and returns the coded size, or nullopt when that would not
  // be below `limit` or the block does not suit the codec. What is left in `out` beyond the coded
  // size is unspecified. The bytes depend on nothing but `context` and `raw`: not on the CPU, the
  // scratch or earlier calls.
  // Requires: Supports(context.dtype), raw.size() == context.raw_bytes, a base in
  // base_form() if needs_base(), a peer if needs_peer(), params of Prepare, and out.size() >=
  // EncodeBound(raw.size()). No alignment is assumed. Nobody writes to `raw` or what `context`
  // views meanwhile; the pipeline copies them out of the caller's memory first.
  virtual std::optional<size_t> Encode(const BlockContext& context, Bytes raw, size_t limit,
                                       MutableBytes out, Scratch& scratch) const = 0;

  // About the size that Encode would return, raw.size() if it would return none: to choose by,
  // quicker where a codec can tell it without coding. Requires as Encode.
  virtual size_t Estimate(const BlockContext& context, Bytes raw, MutableBytes out,
                          Scratch& scratch) const {
    return Encode(context, raw, raw.size(), out, scratch).value_or(raw.size());
  }

  // Encode for a codec that may lose something, which knows what it loses: leaves in `decoded` what
  // Decode will give back. Requires: decoded.size() == raw.size().
  virtual std::optional<LossyBlock> EncodeLossy(const BlockContext& context, Bytes raw,
                                                size_t limit, MutableBytes out,
                                                MutableBytes decoded, Scratch& scratch) const {
    const auto size = Encode(context, raw, limit, out, scratch);
    if (!size || !Decode(context, out.first(*size), decoded, scratch)) return std::nullopt;
    return LossyBlock{*size};
  }

  // EncodeLossy with the two halves of `raw` wherever they are. Requires: as EncodeLossy; parts()
  // is 2.
  virtual std::optional<LossyBlock> EncodePair(const BlockContext&, Bytes /*first*/,
                                               Bytes /*second*/, size_t /*limit*/,
                                               MutableBytes /*out*/, MutableBytes /*decoded*/,
                                               Scratch&) const {
    return std::nullopt;
  }

  // Decodes a payload of any origin into `out`. Fails with kCorrupt when it breaks the codec's
  // spec; never reads or writes outside the spans, never allocates by a length from the payload.
  // Requires: Supports(context.dtype), out.size() == context.raw_bytes, a base in base_form() if
  // needs_base(), a peer if needs_peer(). The params may be anything.
  virtual Result<void> Decode(const BlockContext& context, Bytes coded, MutableBytes out,
                              Scratch& scratch) const = 0;

  // Decode with the two halves of `out` wherever they are to be. Requires: as Decode; parts() is 2.
  virtual Result<void> DecodePair(const BlockContext&, Bytes /*coded*/, MutableBytes /*first*/,
                                  MutableBytes /*second*/, Scratch&) const {
    return Fail(ErrorKind::kCorrupt, "a pair in blocks of a codec of single tensors");
  }
};

// All codecs, in order of their ids.
std::span<const Codec* const> AllCodecs();

// Null for an id that this version does not know.
const Codec* FindCodec(uint8_t id);

// Requires: `id` is one of the enumerators.
const Codec& GetCodec(CodecId id);

}  // namespace bitsnap
