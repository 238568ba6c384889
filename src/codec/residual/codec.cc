#include "codec/residual/codec.h"

#include <algorithm>
#include <cstring>

#include "codec/entropy/plane.h"
#include "codec/residual/kernel.h"

namespace bitsnap {
namespace {

constexpr unsigned kAllBits = 16;
constexpr size_t kWord = sizeof(uint32_t);

// Slots of the scratch.
constexpr size_t kWidenedSlot = 0, kQuotientSlot = 1, kPlanesSlot = 2, kStreamSlot = 3;

struct Exception {
  uint32_t index;
  uint32_t bits;
};
static_assert(sizeof(Exception) == 8);

template <class T>
std::span<T> Words(MutableBytes bytes) {
  return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
}

// Of the 16 bits, from a tensor's parameters; nullopt when these are not ours.
std::optional<unsigned> KeptBits(Bytes params) {
  if (params.size() != 1) return std::nullopt;
  const auto kept = static_cast<unsigned>(params[0]);
  return kept >= 1 && kept <= kAllBits ? std::optional(kept) : std::nullopt;
}

size_t PlanesOf(unsigned kept) { return kept > 8 ? 2 : 1; }

// Requires: `count` of the values do not fit.
void WriteExceptions(Bytes values, std::span<const uint32_t> widened, unsigned dropped,
                     size_t count, MutableBytes out) {
  const auto number = static_cast<uint32_t>(count);
  std::memcpy(out.data(), &number, sizeof(number));
  std::byte* at = out.data() + sizeof(number);
  for (uint32_t i = 0; count > 0 && i < widened.size(); ++i) {
    Exception exception{i, 0};
    std::memcpy(&exception.bits, values.data() + i * kWord, kWord);
    if (residual::Fits(exception.bits, widened[i], dropped)) continue;
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
  bool IsLossless(Bytes params) const override { return KeptBits(params) == kAllBits; }
  bool needs_peer() const override { return true; }
  bool Supports(DType dtype) const override { return dtype == DType::kF32; }
  bool SupportsPeer(DType dtype) const override {
    return dtype == DType::kBF16 || dtype == DType::kF16;
  }

  std::optional<Prepared> Prepare(const TensorContext& tensor) const override {
    const unsigned kept = std::clamp(tensor.accepted.master_bits, 1u, kAllBits);
    return Prepared{{static_cast<std::byte>(kept)}, {}};
  }

  size_t EncodeBound(size_t raw_bytes) const override {
    const size_t words = raw_bytes / kWord;
    return sizeof(uint32_t) + MostExceptions(words) * sizeof(Exception) + 2 * PlaneBound(words);
  }

  std::optional<size_t> Encode(const BlockContext& context, Bytes raw, size_t limit,
                               MutableBytes out, Scratch& scratch) const override {
    const unsigned kept = *KeptBits(context.params), dropped = kAllBits - kept;
    const size_t words = raw.size() / kWord;
    const auto widened = Words<uint32_t>(scratch.Get(kWidenedSlot, raw.size()));
    const auto q = Words<int32_t>(scratch.Get(kQuotientSlot, raw.size()));
    residual::Widen(context.peer->dtype, context.peer->bytes, widened);
    const size_t exceptions = residual::Subtract(raw, widened, dropped, q);
    if (exceptions > MostExceptions(words)) return std::nullopt;
    const MutableBytes planes = scratch.Get(kPlanesSlot, PlanesOf(kept) * words);
    residual::ToPlanes(q, kept, planes);

    const size_t head = sizeof(uint32_t) + exceptions * sizeof(Exception);
    size_t estimate = head;
    std::array<PlaneKind, 2> kinds;
    for (size_t k = 0; k < PlanesOf(kept); ++k) {
      const PlanePlan plan = PlanPlane(planes.subspan(k * words, words));
      kinds[k] = plan.kind;
      estimate += plan.bytes;
    }
    if (estimate >= limit) return std::nullopt;
    WriteExceptions(raw, widened, dropped, exceptions, out);
    PlaneWriter writer(out.subspan(head));
    for (size_t k = 0; k < PlanesOf(kept); ++k) {
      writer.Write(kinds[k], planes.subspan(k * words, words));
    }
    const size_t size = head + writer.size();
    return size < limit ? std::optional(size) : std::nullopt;
  }

  Result<void> Decode(const BlockContext& context, Bytes coded, MutableBytes out,
                      Scratch& scratch) const override {
    const auto kept = KeptBits(context.params);
    if (!kept) return Corrupt("residual block of a tensor without its parameter");
    const size_t words = out.size() / kWord;
    ByteReader reader(coded);
    const Bytes exceptions = reader.Raw(uint64_t{reader.Int<uint32_t>()} * sizeof(Exception));
    const MutableBytes buffer = scratch.Get(kPlanesSlot, 2 * words);
    const MutableBytes work = scratch.Get(kStreamSlot, PlaneWorkBytes(words));
    std::array<const std::byte*, 2> planes{};
    for (size_t k = 0; k < PlanesOf(*kept); ++k) {
      planes[k] = ReadPlane(reader, buffer.subspan(k * words, words), work);
      if (!reader.ok() || planes[k] == nullptr) return Corrupt("residual block, malformed plane");
    }
    if (reader.remaining() != 0) return Corrupt("residual block goes on past its last plane");
    const auto widened = Words<uint32_t>(scratch.Get(kWidenedSlot, out.size()));
    const auto q = Words<int32_t>(scratch.Get(kQuotientSlot, out.size()));
    residual::Widen(context.peer->dtype, context.peer->bytes, widened);
    residual::FromPlanes(planes[0], planes[1], *kept, q);
    residual::Add(widened, q, kAllBits - *kept, out);
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
