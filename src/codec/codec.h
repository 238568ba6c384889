// A codec turns one block of a tensor, or of several that are coded together, into fewer bytes and
// back. All other rooms know codecs only through this interface, and none by its id; adding one is
// one folder and one line in registry.cc.
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

#include "base/bytes.h"
#include "codec/part.h"
#include "codec/update_sums.h"

namespace bitsnap {

// Part of the file format: never renumber, only append. The enumerators are named in this room
// only.
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

// Raw bytes of all parts in a block, most in all but a unit's last. Small enough that a block, its
// base and its coded form stay in a core's L2 cache. A multiple of every WordBytes.
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

// The base's block as it lies in its snapshot. It stands alone.
struct CodedBlock {
  CodecId codec;
  Bytes params;
  Bytes payload;
  size_t raw_bytes;  // at least those of the block that leans on it, whose first words it holds
};

// In which form a codec takes the base's block.
enum class BaseForm : uint8_t { kNone, kDecoded, kCoded };

// What is known to both encoder and decoder of a block besides its payload and its parts' dtypes
// and sizes.
struct BlockContext {
  PartList<Bytes> base = {};  // the same words of the base's tensors, in order; empty: none
  std::optional<CodedBlock> coded_base = {};  // the same, of BaseForm::kCoded
  std::optional<Part> peer = {};  // the same words of the tensor of this file that it leans on
  Bytes params = {};              // what Prepare gave for the unit; from a file when decoding
  uint64_t first_word = 0;        // where the block begins, in words of each tensor
  Bytes advice = {};              // Prepare's to Encode; empty: none
};

// What the user accepts to lose.
struct Accepted {
  double update_error = 0;    // of Adam's update, ||u - u'|| / ||u|| over a tensor
  unsigned master_bits = 16;  // that a master weight keeps beyond its 16-bit weight, if it has them
  double eps = 1e-8;          // of Adam
};

// What a codec loses: nothing, no more than was accepted, or more or less.
enum class Loss : uint8_t { kNone, kAccepted, kAny };

// Whole tensors that are to be coded together, before any of their blocks is.
struct UnitContext {
  Parts parts;
  uint64_t row_words = 0;  // of the first tensor's last dimension; 0 or 1 dimensions: all
  Accepted accepted = {};
  Bytes base_params = {};          // of the base's unit, for a codec of BaseForm::kCoded
  std::optional<DType> peer = {};  // that of the peer, where there is one
};

struct Prepared {
  std::vector<std::byte> params;       // BlockContext::params of all blocks; stored in the snapshot
  std::vector<std::byte> advice = {};  // BlockContext::advice of all blocks; not stored
};

struct Encoded {
  size_t bytes = 0;
  UpdateSums update = {};  // what a codec of moments lost
};

// Stateless; safe to use from several threads.
class Codec {
 public:
  virtual ~Codec() = default;
  virtual CodecId id() const = 0;
  virtual std::string_view name() const = 0;

  // What it serves. The parts of a block are so many, in the order that its spec.md names.
  virtual size_t parts() const { return 1; }
  virtual bool Supports(DType dtype) const = 0;

  // What it leans on. Of a codec that needs the base's block, zero bytes are a block that equals
  // its decoded base; one of BaseForm::kDecoded codes such blocks so.
  virtual bool needs_base() const { return false; }
  // The form in which a base, where there is one, changes the coded bytes.
  virtual BaseForm base_form() const { return needs_base() ? BaseForm::kDecoded : BaseForm::kNone; }
  // Whether it needs the block of a peer, whose dtype it must support as such.
  virtual bool needs_peer() const { return false; }
  virtual bool SupportsPeer(DType) const { return false; }

  // What it loses where the user accepts so much.
  virtual Loss LossWithin(const Accepted&) const { return Loss::kNone; }
  // Whether a decoder gives back every bit of a unit with these parameters.
  virtual bool IsLossless(Bytes /*params*/) const { return true; }

  // What it costs. Whether it keeps pace with memory, both ways.
  virtual bool is_quick() const { return false; }
  // The part by which its blocks must be smaller than those of codecs that take less time, to be
  // worth its own: one in so many. 0: it is one of these.
  virtual uint64_t gain_to_ask() const { return 0; }

  // Chooses what all blocks of a unit share; nullopt when the codec cannot serve it as the user
  // accepts. Depends on nothing but its argument.
  virtual std::optional<Prepared> Prepare(const UnitContext&) const { return Prepared{}; }

  // Largest coded size of a block of `raw_bytes`, and the least size of Encode's `out`, slack for
  // whole-vector stores included.
  virtual size_t EncodeBound(size_t raw_bytes) const = 0;

  // Codes `parts` into the front of `out` and returns the coded size, or nullopt when that would
  // not be below `limit` or the block does not suit the codec. What is left in `out` beyond the
  // coded size is unspecified. The bytes depend on nothing but `context` and `parts`: not on the
  // CPU, the scratch or earlier calls. A codec that loses something leaves in `decoded` what Decode
  // will give back, unless it is empty; others leave it alone. Requires: as many parts as parts()
  // says, of dtypes that it Supports and as many words each, of 1 to kBlockBytes in all; a base in
  // base_form() if needs_base(), a peer if needs_peer(), params of Prepare; out.size() >=
  // EncodeBound(RawBytes(parts)); `decoded` as `parts` or empty. No alignment is assumed.
  // Nobody writes to `parts` or what `context` views meanwhile; the pipeline copies them out of the
  // caller's memory first.
  virtual std::optional<Encoded> Encode(const BlockContext& context, const Parts& parts,
                                        size_t limit, MutableBytes out, const MutableParts& decoded,
                                        Scratch& scratch) const = 0;

  // About the size that Encode would return, the raw size if it would return none: to choose by,
  // quicker where a codec can tell it without coding. Requires as Encode.
  virtual size_t Estimate(const BlockContext& context, const Parts& parts, MutableBytes out,
                          Scratch& scratch) const {
    const size_t raw_bytes = RawBytes(parts);
    const auto encoded = Encode(context, parts, raw_bytes, out, {}, scratch);
    return encoded ? encoded->bytes : raw_bytes;
  }

  // Decodes a payload of any origin into `parts`. Fails with kCorrupt when it breaks the codec's
  // spec; never reads or writes outside the spans, never allocates by a length from the payload.
  // Requires: as Encode of the parts, the base and the peer. The params may be anything.
  virtual Result<void> Decode(const BlockContext& context, Bytes coded, const MutableParts& parts,
                              Scratch& scratch) const = 0;
};

// All codecs, in order of their ids.
std::span<const Codec* const> AllCodecs();

// Null for an id that this version does not know.
const Codec* FindCodec(uint8_t id);

// Requires: `id` is one of the enumerators.
const Codec& GetCodec(CodecId id);

// The one whose payload is the block itself, one part behind the other, of any number of parts:
// blocks that no other makes smaller are left to it.
const Codec& FallbackCodec();

}  // namespace bitsnap
