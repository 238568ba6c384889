#include "codec/delta/codec.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"
#include "codec/delta/classes.h"
#include "codec/delta/kernel.h"
#include "codec/delta/runs.h"
#include "codec/delta/symbols.h"
#include "codec/entropy/context_rans.h"

namespace bitsnap {
namespace {

using context_rans::Counts;
using context_rans::EncodeTable;
using context_rans::States;
using delta::Classes;
using delta::kMaxClasses;
using delta::Run;
using delta::Runs;

// Slots of the scratch: a symbol and a class for each coded word, counts, coding tables.
constexpr size_t kSymbolsSlot = 0;
constexpr size_t kClassesSlot = 1;
constexpr size_t kCountsSlot = 2;
constexpr size_t kTableSlot = 3;

// The first byte of a payload: number of classes less 1, whether runs follow, choice of lanes.
constexpr unsigned kClassesMask = 0x0f;
constexpr unsigned kHasRuns = 0x10;
constexpr unsigned kLanesShift = 5;

constexpr size_t kMaxHeaderBytes =
    1 + Runs::kMaxBytes + kMaxClasses + kMaxClasses * context_rans::kMaxTableBits / 8 + 1;

template <class T>
T& ScratchAs(Scratch& scratch, size_t slot) {
  return *reinterpret_cast<T*>(scratch.Get(slot, sizeof(T)).data());
}

size_t SymbolsOf(DType dtype) {
  return delta::WithLayout(dtype, []<class L>(L) { return L::kSymbols; });
}

size_t GroupsOf(DType dtype, size_t bytes) {
  return CeilDiv(bytes / WordBytes(dtype), delta::kGroup);
}

template <class Span>
Span Part(Span bytes, size_t begin, size_t size) {
  return bytes.subspan(begin, size);
}

// The coded words of a block: run by run in the block, back to back in arrays of one byte a word.
class CodedWords {
 public:
  CodedWords(DType dtype, const Runs& runs, size_t block_bytes, Scratch& scratch)
      : dtype_(dtype), runs_(runs), block_bytes_(block_bytes) {
    size_t count = 0;
    ForEachRun([&](size_t, size_t, size_t, size_t words) { count += words; });
    symbols_ = scratch.Get(kSymbolsSlot, count);
    classes_ = scratch.Get(kClassesSlot, count);
  }

  MutableBytes symbols() const { return symbols_; }
  MutableBytes classes() const { return classes_; }

  // Into symbols().
  void MakeSymbols(Bytes base, Bytes raw) const {
    ForEachRun([&](size_t begin, size_t bytes, size_t first, size_t words) {
      delta::MakeSymbols(dtype_, Part(base, begin, bytes), Part(raw, begin, bytes),
                         Part(symbols_, first, words));
    });
  }

  // Into classes().
  void Exponents(Bytes base) const {
    ForEachRun([&](size_t begin, size_t bytes, size_t first, size_t words) {
      delta::Exponents(dtype_, Part(base, begin, bytes), Part(classes_, first, words));
    });
  }

  void WriteExtras(Bytes base, Bytes raw, BitWriter& out) const {
    ForEachRun([&](size_t begin, size_t bytes, size_t first, size_t words) {
      delta::WriteExtras(dtype_, Part(base, begin, bytes), Part(raw, begin, bytes),
                         Part(Bytes(symbols_), first, words), out);
    });
  }

  // Of words that are not coded, the base's.
  void Restore(Bytes base, BitReader& extras, MutableBytes out) const {
    size_t end = 0;
    ForEachRun([&](size_t begin, size_t bytes, size_t first, size_t words) {
      std::ranges::copy(Part(base, end, begin - end), out.begin() + end);
      delta::Restore(dtype_, Part(base, begin, bytes), Part(Bytes(symbols_), first, words), extras,
                     Part(out, begin, bytes));
      end = begin + bytes;
    });
    std::ranges::copy(base.subspan(end), out.begin() + end);
  }

 private:
  // Calls `body(first byte in the block, bytes, first word in the arrays, words)`.
  template <class Body>
  void ForEachRun(Body&& body) const {
    const size_t group_bytes = delta::kGroup * WordBytes(dtype_);
    size_t word = 0;
    for (const Run& run : runs_.runs()) {
      const size_t begin = run.begin * group_bytes;
      const size_t bytes = std::min(run.end * group_bytes, block_bytes_) - begin;
      const size_t words = bytes / WordBytes(dtype_);
      body(begin, bytes, word, words);
      word += words;
    }
  }

  DType dtype_;
  const Runs& runs_;
  size_t block_bytes_;
  MutableBytes symbols_, classes_;
};

// Classes of words as the payload has them.
struct ClassPlan {
  delta::Partition<kMaxClasses> by_exponent;
  std::array<Counts*, kMaxClasses> counts;  // in the scratch
  size_t estimate;                          // bytes of the payload
};

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
  auto& histogram = ScratchAs<delta::Histogram>(scratch, kCountsSlot);
  const Classes classes = delta::ChooseClasses(
      histogram.Count(words.classes(), words.symbols(), rows.count), SymbolsOf(dtype));
  delta::Classify(classes.of_rows.used(), words.classes());

  ClassPlan plan;
  for (uint8_t row : classes.of_rows.used()) plan.by_exponent.Add(rows.starts[row - 1]);
  plan.counts = classes.counts;
  plan.estimate = (classes.estimated_bits + CountExtraBits(dtype, classes)) / 8;
  return plan;
}

// States take room, so few of them for blocks that become small. An index of kLaneChoices.
unsigned ChooseLanes(size_t coded_bytes) {
  return coded_bytes < 512 ? 0 : coded_bytes < 8192 ? 1 : 2;
}

// Writes all that stands before the first states and fills the table; returns the end.
std::byte* WriteHeader(const Runs& runs, size_t groups, const ClassPlan& plan, unsigned lanes,
                       EncodeTable& table, std::byte* out) {
  const size_t classes = plan.by_exponent.count;
  const bool all = runs.CoverAll(groups);
  *out++ = static_cast<std::byte>((classes - 1) | (all ? 0 : kHasRuns) | lanes << kLanesShift);
  if (!all) out = runs.Write(out);
  out = std::ranges::copy(std::as_bytes(plan.by_exponent.used()), out).out;
  BitWriter bits(out);
  for (size_t k = 0; k < classes; ++k) {
    for (uint32_t& count : *plan.counts[k]) count = context_rans::Rounded(count);
    context_rans::WriteCounts(*plan.counts[k], bits);
    context_rans::FillEncodeTable(context_rans::Normalize(*plan.counts[k]), k, table);
  }
  return out + bits.size();
}

// What a decoder finds before the first states.
struct Header {
  Runs runs;
  size_t lanes;
  delta::Partition<kMaxClasses> by_exponent;
  std::span<uint32_t> table;  // in the scratch
};

tl::unexpected<Error> Corrupt(const char* message) { return Fail(ErrorKind::kCorrupt, message); }

// Leaves `reader` at the first states.
Result<Header> ReadHeader(DType dtype, size_t groups, ByteReader& reader, Bytes payload,
                          Scratch& scratch) {
  const unsigned first = reader.Int<uint8_t>();
  const size_t choice = first >> kLanesShift;
  if (choice >= context_rans::kLaneChoices.size()) return Corrupt("delta block of unknown kind");
  const auto runs = (first & kHasRuns) != 0 ? Runs::Read(groups, reader) : Runs::All(groups);
  if (!runs) return Corrupt("delta block has malformed runs");
  Header header{*runs, context_rans::kLaneChoices[choice], {}, {}};

  uint8_t last = 0;
  while (header.by_exponent.count <= (first & kClassesMask)) {
    const auto start = reader.Int<uint8_t>();
    if (start <= last) return Corrupt("delta block has classes out of order");
    header.by_exponent.Add(last = start);
  }

  const size_t entries = header.by_exponent.count * context_rans::kScale;
  const MutableBytes table = scratch.Get(kTableSlot, entries * sizeof(uint32_t));
  header.table = {reinterpret_cast<uint32_t*>(table.data()), entries};
  BitReader bits(payload.last(reader.remaining()));
  for (size_t k = 0; k < header.by_exponent.count; ++k) {
    const auto counts = context_rans::ReadCounts(SymbolsOf(dtype), bits);
    if (!counts) return Corrupt("delta block has malformed counts");
    context_rans::FillDecodeTable(context_rans::Normalize(*counts), k, header.table);
  }
  if (bits.size() > reader.remaining() || !bits.ZeroPadded()) {
    return Corrupt("delta block has malformed counts");
  }
  reader.Raw(bits.size());
  return header;
}

// Decodes the symbols of `words`, whose classes are known, from all that follows the header.
// Returns the extra bits.
Result<Bytes> ReadSymbols(const Header& header, Bytes body, const CodedWords& words) {
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
  bool Supports(DType dtype) const override {
    return dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF32;
  }

  // With its extra bits, a word is coded in less than twice its size: a symbol takes at most one
  // word of 16 bits, and there are always fewer extra bits than the word has.
  size_t EncodeBound(size_t raw_bytes) const override {
    return kMaxHeaderBytes + sizeof(States) + 2 * raw_bytes + context_rans::kEncodeSlack;
  }

  std::optional<size_t> Encode(const BlockContext& context, Bytes raw, size_t limit,
                               MutableBytes out, Scratch& scratch) const override {
    if (limit == 0) return std::nullopt;
    const DType dtype = context.dtype;
    const Bytes base = *context.base;
    const size_t groups = GroupsOf(dtype, raw.size());
    delta::GroupBits changed{};
    const size_t changed_words = delta::FindChanged(dtype, base, raw, changed);
    if (changed_words == 0) return 0;

    const Runs runs = Runs::Choose(changed, groups, raw.size() / WordBytes(dtype), changed_words);
    const CodedWords words(dtype, runs, raw.size(), scratch);
    words.MakeSymbols(base, raw);
    words.Exponents(base);
    const ClassPlan plan = PlanClasses(dtype, words, scratch);
    if (plan.estimate >= limit) return std::nullopt;

    const unsigned choice = ChooseLanes(plan.estimate);
    const size_t lanes = context_rans::kLaneChoices[choice];
    const size_t half = context_rans::HalfStateBytes(lanes);
    auto& table = ScratchAs<EncodeTable>(scratch, kTableSlot);
    std::byte* const header_end = WriteHeader(runs, groups, plan, choice, table, out.data());
    BitWriter extras(header_end + half);
    words.WriteExtras(base, raw, extras);

    States states;
    states.fill(context_rans::kInitialState);
    std::byte* end = header_end + half + extras.size();
    end += context_rans::EncodeSymbols(table, lanes, words.symbols(), words.classes(), states, end);
    std::memcpy(header_end, states.data(), half);
    std::memcpy(end, &states[lanes / 2], half);
    const size_t size = end + half - out.data();
    if (size >= limit) return std::nullopt;
    return size;
  }

  Result<void> Decode(const BlockContext& context, Bytes payload, MutableBytes out,
                      Scratch& scratch) const override {
    const Bytes base = *context.base;
    if (payload.empty()) {
      std::ranges::copy(base, out.begin());
      return {};
    }
    ByteReader reader(payload);
    BITSNAP_ASSIGN(
        const Header header,
        ReadHeader(context.dtype, GroupsOf(context.dtype, out.size()), reader, payload, scratch));
    const CodedWords words(context.dtype, header.runs, out.size(), scratch);
    words.Exponents(base);
    delta::Classify(header.by_exponent.used(), words.classes());
    BITSNAP_ASSIGN(const Bytes extra_bytes,
                   ReadSymbols(header, payload.last(reader.remaining()), words));
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
