#include "codec/residual/codec.h"

#include <algorithm>
#include <cstring>

#include "codec/entropy/plane.h"
#include "codec/residual/kernel.h"

namespace bitsnap {
namespace {

using residual::kAllBits;
using residual::PlanesOf;

constexpr size_t kWord = sizeof(uint32_t);

// Slots of the scratch.
constexpr size_t kPlanesSlot = 0, kExceptionsSlot = 1, kStreamSlot = 2;

struct Exception {
  uint32_t index;
  uint32_t bits;
};
static_assert(sizeof(Exception) == 8);

// Of the 16 bits, from a tensor's parameters; nullopt when these are not ours.
std::optional<unsigned> KeptBits(Bytes params) {
  if (params.size() != 1) return std::nullopt;
  const auto kept = static_cast<unsigned>(params[0]);
  return kept >= 1 && kept <= kAllBits ? std::optional(kept) : std::nullopt;
}

// Requires: `count` of the flags are 1.
void WriteExceptions(Bytes values, Bytes flags, size_t count, MutableBytes out) {
  const auto number = static_cast<uint32_t>(count);
  std::memcpy(out.data(), &number, sizeof(number));
  std::byte* at = out.data() + sizeof(number);
  const std::byte* flag = flags.data();
  for (; count > 0; --count, ++flag) {
    flag = std::find(flag, flags.data() + flags.size(), std::byte{1});
    Exception exception{static_cast<uint32_t>(flag - flags.data()), 0};
    std::memcpy(&exception.bits, values.data() + exception.index * kWord, kWord);
    std::memcpy(at, &exception, sizeof(exception));
    at += sizeof(exception);
  }
}

// False when their positions do not ascend within `out`.
bool ApplyExceptions(Bytes exceptions, MutableBytes out) {
  uint64_t next = 0;
  for (size_t at = 0; at < exceptions.size(); at += sizeof(Exception)) {
    Exception exception;
    std::memcpy(&exception, exceptions.data() + at, sizeof(exception));
    if (exception.index < next || exception.index >= out.size() / kWord) return false;
    std::memcpy(out.data() + exception.index * kWord, &exception.bits, kWord);
    next = uint64_t{exception.index} + 1;
  }
  return true;
}

tl::unexpected<Error> Corrupt(const char* what) { return Fail(ErrorKind::kCorrupt, what); }

class Residual final : public Codec {
 public:
  CodecId id() const override { return CodecId::kResidual; }
  std::string_view name() const override { return "residual"; }
  Loss LossWithin(const Accepted& accepted) const override {
    return accepted.master_bits < kAllBits ? Loss::kAccepted : Loss::kNone;
  }
  bool IsLossless(Bytes params) const override { return KeptBits(params) == kAllBits; }
  bool needs_peer() const override { return true; }
  bool Supports(DType dtype) const override { return dtype == DType::kF32; }
  bool SupportsPeer(DType dtype) const override {
    return dtype == DType::kBF16 || dtype == DType::kF16;
  }

  std::optional<Prepared> Prepare(const UnitContext& unit) const override {
    // An fp16 weight has 3 bits more than a bf16 one, which a residual of 16 bits begins with.
    const unsigned beyond = unit.peer == DType::kF16 ? 3 : 0;
    const unsigned kept = std::clamp(unit.accepted.master_bits + beyond, 1u, kAllBits);
    return Prepared{{static_cast<std::byte>(kept)}};
  }

  size_t EncodeBound(size_t raw_bytes) const override {
    const size_t words = raw_bytes / kWord;
    return sizeof(uint32_t) + MostExceptions(words) * sizeof(Exception) + 2 * PlaneBound(words);
  }

  std::optional<Encoded> Encode(const BlockContext& context, const Parts& parts, size_t limit,
                                MutableBytes out, const MutableParts& decoded,
                                Scratch& scratch) const override {
    const Bytes raw = parts[0].bytes;
    const unsigned kept = *KeptBits(context.params);
    const size_t words = raw.size() / kWord;
    const MutableBytes planes = scratch.Get(kPlanesSlot, PlanesOf(kept) * words);
    const MutableBytes flags = scratch.Get(kExceptionsSlot, words);
    const size_t exceptions =
        residual::Split(context.peer->dtype, context.peer->bytes, raw, kept, planes, flags);
    if (exceptions > MostExceptions(words)) return std::nullopt;

    const size_t head = sizeof(uint32_t) + exceptions * sizeof(Exception);
    size_t estimate = head;
    std::array<PlaneKind, 2> kinds;
    for (size_t k = 0; k < PlanesOf(kept); ++k) {
      const PlanePlan plan = PlanPlane(planes.subspan(k * words, words));
      kinds[k] = plan.kind;
      estimate += plan.bytes;
    }
    if (estimate >= limit) return std::nullopt;
    WriteExceptions(raw, flags, exceptions, out);
    PlaneWriter writer(out.subspan(head));
    for (size_t k = 0; k < PlanesOf(kept); ++k) {
      writer.Write(kinds[k], planes.subspan(k * words, words));
    }
    const size_t size = head + writer.size();
    if (size >= limit) return std::nullopt;
    if (!decoded.empty()) {
      const std::byte* high = PlanesOf(kept) > 1 ? &planes[words] : nullptr;
      residual::Join(context.peer->dtype, context.peer->bytes, planes.data(), high, kept,
                     decoded[0].bytes);
      ApplyExceptions(out.first(head).subspan(sizeof(uint32_t)), decoded[0].bytes);
    }
    return Encoded{size};
  }

  Result<void> Decode(const BlockContext& context, Bytes coded, const MutableParts& parts,
                      Scratch& scratch) const override {
    const MutableBytes out = parts[0].bytes;
    const auto kept = KeptBits(context.params);
    if (!kept) return Corrupt("residual block of a tensor without its parameter");
    const size_t words = out.size() / kWord;
    ByteReader reader(coded);
    const Bytes exceptions = reader.Raw(uint64_t{reader.Int<uint32_t>()} * sizeof(Exception));
    const MutableBytes buffer = scratch.Get(kPlanesSlot, 2 * words);
    const MutableBytes work = scratch.Get(kStreamSlot, kPlaneWorkBytes);
    std::array<const std::byte*, 2> planes{};
    for (size_t k = 0; k < PlanesOf(*kept); ++k) {
      planes[k] = ReadPlane(reader, buffer.subspan(k * words, words), work);
      if (!reader.ok() || planes[k] == nullptr) return Corrupt("residual block, malformed plane");
    }
    if (reader.remaining() != 0) return Corrupt("residual block goes on past its last plane");
    residual::Join(context.peer->dtype, context.peer->bytes, planes[0], planes[1], *kept, out);
    if (!ApplyExceptions(exceptions, out))
      return Corrupt("residual block, exceptions out of place");
    return {};
  }

 private:
  // Where more values do not follow from their weights, the tensor is better coded on its own.
  static size_t MostExceptions(size_t words) { return words / 16 + 1; }
};

}  // namespace

const Codec& ResidualCodec() {
  static const Residual codec;
  return codec;
}

}  // namespace bitsnap
