#include "codec/delta/codec.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "codec/delta/classes.h"
#include "codec/delta/kernel.h"
#include "codec/delta/runs.h"
#include "codec/delta/symbols.h"
#include "codec/entropy/context_rans.h"

namespace bitsnap {
namespace {

using context_rans::Counts;
using context_rans::DecodeTable;
using context_rans::EncodeTable;
using context_rans::States;
using delta::Classes;
using delta::Run;
using delta::Runs;

// Slots of the scratch: a symbol and a class for each word, counts, coding tables.
constexpr size_t kSymbolsSlot = 0;
constexpr size_t kClassesSlot = 1;
constexpr size_t kCountsSlot = 2;
constexpr size_t kTableSlot = 3;

// The first byte of a payload: number of classes less 1, whether runs follow, choice of lanes.
constexpr unsigned kClassesMask = 0x0f;
constexpr unsigned kHasRuns = 0x10;
constexpr unsigned kLanesShift = 5;

constexpr size_t kMaxHeaderBytes = 1 + Runs::kMaxBytes + delta::kMaxClasses +
                                   delta::kMaxClasses * context_rans::kMaxTableBits / 8 + 1;

template <class T>
T& ScratchAs(Scratch& scratch, size_t slot) {
  return *reinterpret_cast<T*>(scratch.Get(slot, sizeof(T)).data());
}

size_t SymbolsOf(DType dtype) {
  return delta::WithLayout(dtype, []<class L>(L) { return L::kSymbols; });
}

// A block's coded words as the kernels take them: run by run, the per-word bytes back to back.
class CodedWords {
 public:
  CodedWords(DType dtype, const Runs& runs, size_t block_bytes)
      : runs_(runs), word_bytes_(WordBytes(dtype)), block_bytes_(block_bytes) {}

  // Calls `body(bytes, words)` for each run: its range of bytes in the block, and its range in the
  // arrays of one byte a word.
  template <class Body>
  void ForEach(Body&& body) const {
    size_t word = 0;
    for (const Run& run : runs_.runs()) {
      const size_t begin = run.begin * delta::kGroup * word_bytes_;
      const size_t end = std::min(run.end * delta::kGroup * word_bytes_, block_bytes_);
      const size_t words = (end - begin) / word_bytes_;
      body(Range{begin, end - begin}, Range{word, words});
      word += words;
    }
  }

  size_t count() const {
    size_t words = 0;
    ForEach([&](auto, auto range) { words += range.size; });
    return words;
  }

  struct Range {
    size_t begin, size;
    Bytes Of(Bytes bytes) const { return bytes.subspan(begin, size); }
    MutableBytes Of(MutableBytes bytes) const { return bytes.subspan(begin, size); }
  };

 private:
  const Runs& runs_;
  size_t word_bytes_;
  size_t block_bytes_;
};

size_t Groups(size_t words) { return CeilDiv(words, delta::kGroup); }

// Bits that follow the symbols outright.
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

// States take room, so few of them for blocks that become small. An index of kLaneChoices.
unsigned ChooseLanes(size_t coded_bytes) {
  return coded_bytes < 512 ? 0 : coded_bytes < 8192 ? 1 : 2;
}

// What stands before the first states.
struct Header {
  const Runs& runs;
  size_t groups;
  std::span<const uint8_t> class_starts;
  std::span<Counts* const> counts;  // of each class; become Rounded
  unsigned lanes_choice;

  // Fills the table too; returns the end of what was written.
  std::byte* Write(EncodeTable& table, std::byte* out) const {
    const bool all = runs.CoverAll(groups);
    *out++ = static_cast<std::byte>(class_starts.size() | (all ? 0 : kHasRuns) |
                                    lanes_choice << kLanesShift);
    if (!all) out = runs.Write(out);
    out = std::ranges::copy(std::as_bytes(class_starts), out).out;
    BitWriter bits(out);
    for (size_t k = 0; k < counts.size(); ++k) {
      for (uint32_t& count : *counts[k]) count = context_rans::Rounded(count);
      context_rans::WriteCounts(*counts[k], bits);
      context_rans::FillEncodeTable(context_rans::Normalize(*counts[k]), k, table);
    }
    return out + bits.size();
  }
};

Result<void> Corrupt(const char* message) { return Fail(ErrorKind::kCorrupt, message); }

class Delta final : public Codec {
 public:
  CodecId id() const override { return CodecId::kDelta; }
  std::string_view name() const override { return "delta"; }
  bool needs_base() const override { return true; }
  bool Supports(DType dtype) const override {
    return dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF32;
  }

  // A word takes at most 2 bytes of words, and no more extra bits than it has bits.
  size_t EncodeBound(size_t raw_bytes) const override {
    return kMaxHeaderBytes + sizeof(States) + 2 * raw_bytes + context_rans::kEncodeSlack;
  }

  std::optional<size_t> Encode(const BlockContext& context, Bytes raw, size_t limit,
                               MutableBytes out, Scratch& scratch) const override {
    if (limit == 0) return std::nullopt;
    const DType dtype = context.dtype;
    const Bytes base = *context.base;
    const size_t words = raw.size() / WordBytes(dtype);
    delta::GroupBits changed{};
    const size_t changed_words = delta::FindChanged(dtype, base, raw, changed);
    if (changed_words == 0) return 0;
    const Runs runs = Runs::Choose(changed, Groups(words), words, changed_words);
    const CodedWords coded(dtype, runs, raw.size());
    const size_t count = coded.count();

    const MutableBytes symbols = scratch.Get(kSymbolsSlot, count);
    const MutableBytes classes_of = scratch.Get(kClassesSlot, count);
    coded.ForEach([&](auto bytes, auto range) {
      delta::MakeSymbols(dtype, bytes.Of(base), bytes.Of(raw), range.Of(symbols));
      delta::Exponents(dtype, bytes.Of(base), range.Of(classes_of));
    });
    const auto rows = delta::ChooseRows(classes_of);
    delta::Classify(rows.used(), classes_of);
    auto& histogram = ScratchAs<delta::Histogram>(scratch, kCountsSlot);
    const Classes classes =
        delta::ChooseClasses(histogram.Count(classes_of, symbols, rows.count), SymbolsOf(dtype));
    delta::Classify(classes.of_rows.used(), classes_of);
    const size_t estimate = (classes.estimated_bits + CountExtraBits(dtype, classes)) / 8;
    if (estimate >= limit) return std::nullopt;

    std::array<uint8_t, delta::kMaxClasses> starts;
    const size_t class_count = classes.of_rows.count;
    for (size_t k = 0; k + 1 < class_count; ++k) {
      starts[k] = rows.starts[classes.of_rows.starts[k] - 1];
    }
    const Header header{runs, Groups(words), std::span(starts).first(class_count - 1),
                        std::span(classes.counts).first(class_count), ChooseLanes(estimate)};
    auto& table = ScratchAs<EncodeTable>(scratch, kTableSlot);
    std::byte* const first_states = header.Write(table, out.data());

    const size_t lanes = context_rans::kLaneChoices[header.lanes_choice];
    const size_t half_states = context_rans::HalfStateBytes(lanes);
    BitWriter extras(first_states + half_states);
    coded.ForEach([&](auto bytes, auto range) {
      delta::WriteExtras(dtype, bytes.Of(base), bytes.Of(raw), range.Of(symbols), extras);
    });
    States states;
    states.fill(context_rans::kInitialState);
    std::byte* end = first_states + half_states + extras.size();
    end += context_rans::EncodeSymbols(table, lanes, symbols, classes_of, states, end);
    std::memcpy(first_states, states.data(), half_states);
    std::memcpy(end, &states[lanes / 2], half_states);
    const size_t size = end + half_states - out.data();
    if (size >= limit) return std::nullopt;
    return size;
  }

  Result<void> Decode(const BlockContext& context, Bytes payload, MutableBytes out,
                      Scratch& scratch) const override {
    const DType dtype = context.dtype;
    const Bytes base = *context.base;
    if (payload.empty()) {
      std::ranges::copy(base, out.begin());
      return {};
    }
    const size_t groups = Groups(out.size() / WordBytes(dtype));
    ByteReader reader(payload);
    const unsigned head = reader.Int<uint8_t>();
    const size_t class_count = (head & kClassesMask) + 1;
    const size_t lanes_choice = head >> kLanesShift;
    if (lanes_choice >= context_rans::kLaneChoices.size()) {
      return Corrupt("delta block of an unknown kind");
    }
    const size_t lanes = context_rans::kLaneChoices[lanes_choice];
    const size_t half_states = context_rans::HalfStateBytes(lanes);

    const auto runs = (head & kHasRuns) != 0 ? Runs::Read(groups, reader) : Runs::All(groups);
    if (!runs) return Corrupt("delta block has malformed runs");
    const CodedWords coded(dtype, *runs, out.size());
    const size_t count = coded.count();

    std::array<uint8_t, delta::kMaxClasses> starts;
    for (size_t k = 0; k + 1 < class_count; ++k) {
      starts[k] = reader.Int<uint8_t>();
      if (starts[k] <= (k > 0 ? starts[k - 1] : 0)) {
        return Corrupt("delta block has classes out of order");
      }
    }
    BitReader table_bits(payload.last(reader.remaining()));
    const DecodeTable table(
        reinterpret_cast<uint32_t*>(
            scratch.Get(kTableSlot, class_count * context_rans::kScale * sizeof(uint32_t)).data()),
        class_count * context_rans::kScale);
    for (size_t k = 0; k < class_count; ++k) {
      const auto counts = context_rans::ReadCounts(SymbolsOf(dtype), table_bits);
      if (!counts) return Corrupt("delta block has malformed counts");
      context_rans::FillDecodeTable(context_rans::Normalize(*counts), k, table);
    }
    if (table_bits.size() > reader.remaining() || !table_bits.ZeroPadded()) {
      return Corrupt("delta block has malformed counts");
    }
    reader.Raw(table_bits.size());
    if (reader.remaining() < 2 * half_states) return Corrupt("delta block is too short");

    States states;
    states.fill(context_rans::kInitialState);
    const Bytes body = payload.last(reader.remaining());
    std::memcpy(states.data(), body.data(), half_states);
    std::memcpy(&states[lanes / 2], body.last(half_states).data(), half_states);
    const Bytes extras_and_words = body.subspan(half_states, body.size() - 2 * half_states);

    const MutableBytes symbols = scratch.Get(kSymbolsSlot, count);
    const MutableBytes classes_of = scratch.Get(kClassesSlot, count);
    coded.ForEach([&](auto bytes, auto range) {
      delta::Exponents(dtype, bytes.Of(base), range.Of(classes_of));
    });
    delta::Classify(std::span(starts).first(class_count - 1), classes_of);
    const auto left =
        context_rans::DecodeSymbols(table, lanes, extras_and_words, classes_of, states, symbols);
    const bool at_start = std::ranges::all_of(
        states, [](uint32_t state) { return state == context_rans::kInitialState; });
    if (!left || !at_start) return Corrupt("delta block's symbols do not end where they should");

    BitReader extras(extras_and_words.first(*left));
    if (!runs->CoverAll(groups)) std::ranges::copy(base, out.begin());
    coded.ForEach([&](auto bytes, auto range) {
      delta::Restore(dtype, bytes.Of(base), range.Of(symbols), extras, bytes.Of(out));
    });
    if (extras.size() != *left || !extras.ZeroPadded()) {
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
