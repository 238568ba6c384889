#include "codec/delta/codec.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"
#include "codec/delta/classes.h"
#include "codec/delta/coded_words.h"
#include "codec/delta/header.h"
#include "codec/delta/kernel.h"
#include "codec/delta/runs.h"
#include "codec/delta/slots.h"
#include "codec/delta/symbols.h"
#include "codec/entropy/context_rans.h"

namespace bitsnap {
namespace {

using context_rans::EncodeTable;
using context_rans::States;
using delta::Classes;
using delta::ClassPlan;
using delta::CodedWords;
using delta::Header;
using delta::Runs;

uint64_t CountExtraBits(DType dtype, const Classes& classes) {
  return delta::WithLayout(dtype, [&]<class L>(L) {
    uint64_t bits = 0;
    for (size_t k = 0; k < classes.of_rows.count; ++k) {
      for (uint32_t s = L::kFirstSplit; s < L::kSymbols; ++s) {
        bits += uint64_t{(*classes.counts[k])[s]} * L::ExtraBits((s + 1) / 2);
      }
    }
    return bits;
  });
}

// Turns exponents, given in words.classes(), into classes.
ClassPlan PlanClasses(DType dtype, const CodedWords& words, Scratch& scratch) {
  const auto rows = delta::ChooseRows(words.classes());
  delta::Classify(rows.used(), words.classes());
  auto& histogram = delta::ScratchAs<delta::Histogram>(scratch, delta::kCountsSlot);
  const Classes classes = delta::ChooseClasses(
      histogram.Count(words.classes(), words.symbols(), rows.count), delta::SymbolsOf(dtype));
  delta::Classify(classes.of_rows.used(), words.classes());

  ClassPlan plan;
  for (uint8_t row : classes.of_rows.used()) plan.by_exponent.Add(rows.starts[row - 1]);
  plan.counts = classes.counts;
  plan.estimate = (classes.estimated_bits + CountExtraBits(dtype, classes)) / 8;
  return plan;
}

// A block that differs from its base, all but coded.
class BlockPlan {
 public:
  BlockPlan(const Part& part, Bytes base, Scratch& scratch)
      : count_(part.words()),
        symbols_(scratch.Get(delta::kSymbolsSlot, count_)),
        runs_(MakeRuns(part, base)),
        words_(part.dtype, runs_, part.bytes.size(), symbols_, scratch) {
    words_.Exponents(base);
    classes_ = PlanClasses(part.dtype, words_, scratch);
  }
  BlockPlan(const BlockPlan&) = delete;  // words_ refers to runs_
  BlockPlan& operator=(const BlockPlan&) = delete;

  size_t groups() const { return CeilDiv(count_, delta::kGroup); }
  const Runs& runs() const { return runs_; }
  const CodedWords& words() const { return words_; }
  const ClassPlan& classes() const { return classes_; }

 private:
  Runs MakeRuns(const Part& part, Bytes base) const {
    delta::MakeSymbols(part.dtype, base, part.bytes, symbols_);
    delta::GroupBits changed{};
    const size_t changed_words = delta::FindChanged(symbols_, changed);
    return Runs::Choose(changed, groups(), count_, changed_words);
  }

  size_t count_;  // words of the block
  MutableBytes symbols_;
  Runs runs_;
  CodedWords words_;
  ClassPlan classes_;
};

bool Equal(Bytes a, Bytes b) { return std::memcmp(a.data(), b.data(), a.size()) == 0; }

// States take room, so few of them for blocks that become small. An index of kLaneChoices.
unsigned ChooseLanes(size_t coded_bytes) {
  return coded_bytes < 512 ? 0 : coded_bytes < 8192 ? 1 : 2;
}

tl::unexpected<Error> Corrupt(const char* message) { return Fail(ErrorKind::kCorrupt, message); }

// Decodes the symbols of `words`, whose classes are known. Returns the extra bits.
Result<Bytes> ReadSymbols(const Header& header, const CodedWords& words) {
  const Bytes body = header.body;
  const size_t half = context_rans::HalfStateBytes(header.lanes);
  if (body.size() < 2 * half) return Corrupt("delta block is too short");
  States states;
  states.fill(context_rans::kInitialState);
  std::memcpy(states.data(), body.data(), half);
  std::memcpy(&states[header.lanes / 2], body.last(half).data(), half);
  const Bytes extras_and_words = body.subspan(half, body.size() - 2 * half);

  const auto extra_bytes = context_rans::DecodeSymbols(header.table, header.lanes, extras_and_words,
                                                       words.classes(), states, words.symbols());
  const auto initial = [](uint32_t x) { return x == context_rans::kInitialState; };
  if (!extra_bytes || !std::ranges::all_of(states, initial)) {
    return Corrupt("delta block has symbols that do not end where they should");
  }
  return extras_and_words.first(*extra_bytes);
}

class Delta final : public Codec {
 public:
  CodecId id() const override { return CodecId::kDelta; }
  std::string_view name() const override { return "delta"; }
  bool needs_base() const override { return true; }
  // A step from the base takes several times the time of the other codecs, both ways, and the
  // base's block besides.
  uint64_t gain_to_ask() const override { return 8; }
  bool Supports(DType dtype) const override {
    return dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF32;
  }

  // With its extra bits, a word is coded in less than twice its size: a symbol takes at most one
  // word of 16 bits, and there are always fewer extra bits than the word has.
  size_t EncodeBound(size_t raw_bytes) const override {
    return delta::kMaxHeaderBytes + sizeof(States) + 2 * raw_bytes + context_rans::kEncodeSlack;
  }

  std::optional<Encoded> Encode(const BlockContext& context, const Parts& parts, size_t limit,
                                MutableBytes out, const MutableParts&,
                                Scratch& scratch) const override {
    if (limit == 0) return std::nullopt;
    const Bytes raw = parts[0].bytes, base = context.base[0];
    if (Equal(raw, base)) return Encoded{0};
    const BlockPlan plan(parts[0], base, scratch);
    if (plan.classes().estimate >= limit) return std::nullopt;

    const unsigned choice = ChooseLanes(plan.classes().estimate);
    const size_t lanes = context_rans::kLaneChoices[choice];
    const size_t half = context_rans::HalfStateBytes(lanes);
    auto& table = delta::ScratchAs<EncodeTable>(scratch, delta::kTableSlot);
    std::byte* const header_end =
        delta::WriteHeader(plan.runs(), plan.groups(), plan.classes(), choice, table, out.data());
    BitWriter extras(header_end + half);
    const CodedWords& words = plan.words();
    words.WriteExtras(base, raw, extras);

    States states;
    states.fill(context_rans::kInitialState);
    std::byte* end = header_end + half + extras.size();
    end += context_rans::EncodeSymbols(table, lanes, words.symbols(), words.classes(), states, end);
    std::memcpy(header_end, states.data(), half);
    std::memcpy(end, &states[lanes / 2], half);
    const size_t size = end + half - out.data();
    if (size >= limit) return std::nullopt;
    return Encoded{size};
  }

  size_t Estimate(const BlockContext& context, const Parts& parts, MutableBytes /*out*/,
                  Scratch& scratch) const override {
    const Bytes raw = parts[0].bytes, base = context.base[0];
    if (Equal(raw, base)) return 0;
    return std::min(BlockPlan(parts[0], base, scratch).classes().estimate, raw.size());
  }

  Result<void> Decode(const BlockContext& context, Bytes payload, const MutableParts& parts,
                      Scratch& scratch) const override {
    const auto [dtype, out] = parts[0];
    const Bytes base = context.base[0];
    if (payload.empty()) {
      std::ranges::copy(base, out.begin());
      return {};
    }
    const size_t groups = CeilDiv(parts[0].words(), delta::kGroup);
    BITSNAP_ASSIGN(const Header header, delta::ReadHeader(dtype, groups, payload, scratch));
    const CodedWords words(dtype, header.runs, out.size(), scratch);
    words.Exponents(base);
    delta::Classify(header.by_exponent.used(), words.classes());
    BITSNAP_ASSIGN(const Bytes extra_bytes, ReadSymbols(header, words));
    BitReader extras(extra_bytes);
    words.Restore(base, extras, out);
    if (extras.size() != extra_bytes.size() || !extras.ZeroPadded()) {
      return Corrupt("delta block has the wrong number of extra bits");
    }
    return {};
  }
};

}  // namespace

const Codec& DeltaCodec() {
  static const Delta codec;
  return codec;
}

}  // namespace bitsnap
