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
using context_rans::Frequencies;
using context_rans::kHalfStateBytes;
using context_rans::States;
using delta::Classes;
using delta::Run;
using delta::Runs;

// Slots of the scratch: a symbol and a class for each word, counts, coding tables.
constexpr size_t kSymbolsSlot = 0;
constexpr size_t kClassesSlot = 1;
constexpr size_t kCountsSlot = 2;
constexpr size_t kTableSlot = 3;

// The first byte of a payload: number of classes less 1, and whether runs follow.
constexpr uint8_t kClassesMask = 0x0f;
constexpr uint8_t kHasRuns = 0x10;

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

struct Histogram {
  std::array<Counts, 256> rows;  // by exponent
  size_t first, last;            // exponents that occur; other rows are unspecified
};

void Count(Bytes exponents, Bytes symbols, Histogram& histogram) {
  const auto [first, last] = std::ranges::minmax(exponents);
  histogram.first = std::to_integer<size_t>(first);
  histogram.last = std::to_integer<size_t>(last);
  for (size_t e = histogram.first; e <= histogram.last; ++e) histogram.rows[e].fill(0);
  for (size_t i = 0; i < symbols.size(); ++i) {
    ++histogram.rows[std::to_integer<size_t>(exponents[i])][std::to_integer<size_t>(symbols[i])];
  }
}

// Bits that follow the symbols outright.
uint64_t CountExtraBits(DType dtype, const Classes& classes) {
  return delta::WithLayout(dtype, [&]<class L>(L) {
    uint64_t bits = 0;
    for (size_t k = 0; k < classes.count; ++k) {
      for (uint32_t s = L::kFirstSplit; s < L::kSymbols; ++s) {
        bits += uint64_t{(*classes.counts[k])[s]} * L::ExtraBits((s + 1) / 2);
      }
    }
    return bits;
  });
}

// Runs, classes and tables; returns the bytes written.
size_t WriteHeader(const Runs& runs, size_t groups, const Classes& classes, EncodeTable& table,
                   MutableBytes out) {
  const bool all = runs.CoverAll(groups);
  std::byte* end = out.data();
  *end++ = static_cast<std::byte>((classes.count - 1) | (all ? 0 : kHasRuns));
  if (!all) end = runs.Write(end);
  end = std::ranges::copy(std::as_bytes(classes.used_bounds()), end).out;
  BitWriter bits(end);
  for (size_t k = 0; k < classes.count; ++k) {
    const Frequencies frequencies = context_rans::Normalize(*classes.counts[k]);
    context_rans::WriteFrequencies(frequencies, bits);
    context_rans::FillEncodeTable(frequencies, k, table);
  }
  return end - out.data() + bits.size();
}

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
    return kMaxHeaderBytes + 2 * kHalfStateBytes + 2 * raw_bytes + context_rans::kEncodeSlack;
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
    auto& histogram = ScratchAs<Histogram>(scratch, kCountsSlot);
    Count(classes_of, symbols, histogram);
    const Classes classes = delta::ChooseClasses(
        std::span(histogram.rows).subspan(histogram.first, histogram.last - histogram.first + 1),
        histogram.first, SymbolsOf(dtype));
    if ((classes.estimated_bits + CountExtraBits(dtype, classes)) / 8 >= limit) return std::nullopt;
    delta::Classify(classes.used_bounds(), classes_of);

    auto& table = ScratchAs<EncodeTable>(scratch, kTableSlot);
    std::byte* const first_states =
        out.data() + WriteHeader(runs, Groups(words), classes, table, out);
    BitWriter extras(first_states + kHalfStateBytes);
    coded.ForEach([&](auto bytes, auto range) {
      delta::WriteExtras(dtype, bytes.Of(base), bytes.Of(raw), range.Of(symbols), extras);
    });
    States states;
    states.fill(context_rans::kInitialState);
    std::byte* end = first_states + kHalfStateBytes + extras.size();
    end += context_rans::EncodeSymbols(table, symbols, classes_of, states, end);
    std::memcpy(first_states, states.data(), kHalfStateBytes);
    std::memcpy(end, &states[states.size() / 2], kHalfStateBytes);
    const size_t size = end + kHalfStateBytes - out.data();
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
    const auto head = reader.Int<uint8_t>();
    const size_t class_count = (head & kClassesMask) + 1;
    if (head > (kClassesMask | kHasRuns)) return Corrupt("delta block has unknown flags");

    const auto runs = (head & kHasRuns) != 0 ? Runs::Read(groups, reader) : Runs::All(groups);
    if (!runs) return Corrupt("delta block has malformed runs");
    const CodedWords coded(dtype, *runs, out.size());
    const size_t count = coded.count();

    std::array<uint8_t, delta::kMaxClasses> bounds;
    for (size_t k = 0; k + 1 < class_count; ++k) {
      bounds[k] = reader.Int<uint8_t>();
      if (bounds[k] <= (k > 0 ? bounds[k - 1] : 0)) {
        return Corrupt("delta block has classes out of order");
      }
    }
    BitReader table_bits(payload.last(reader.remaining()));
    const DecodeTable table(
        reinterpret_cast<uint32_t*>(
            scratch.Get(kTableSlot, class_count * context_rans::kScale * sizeof(uint32_t)).data()),
        class_count * context_rans::kScale);
    for (size_t k = 0; k < class_count; ++k) {
      const auto frequencies = context_rans::ReadFrequencies(SymbolsOf(dtype), table_bits);
      if (!frequencies) return Corrupt("delta block has a malformed frequency table");
      context_rans::FillDecodeTable(*frequencies, k, table);
    }
    if (table_bits.size() > reader.remaining() || !table_bits.ZeroPadded()) {
      return Corrupt("delta block has a malformed frequency table");
    }
    reader.Raw(table_bits.size());
    if (reader.remaining() < 2 * kHalfStateBytes) return Corrupt("delta block is too short");

    States states;
    const Bytes body = payload.last(reader.remaining());
    std::memcpy(states.data(), body.data(), kHalfStateBytes);
    std::memcpy(&states[states.size() / 2], body.last(kHalfStateBytes).data(), kHalfStateBytes);
    const Bytes extras_and_words = body.subspan(kHalfStateBytes, body.size() - 2 * kHalfStateBytes);

    const MutableBytes symbols = scratch.Get(kSymbolsSlot, count);
    const MutableBytes classes_of = scratch.Get(kClassesSlot, count);
    coded.ForEach([&](auto bytes, auto range) {
      delta::Exponents(dtype, bytes.Of(base), range.Of(classes_of));
    });
    delta::Classify(std::span(bounds).first(class_count - 1), classes_of);
    const auto left =
        context_rans::DecodeSymbols(table, extras_and_words, classes_of, states, symbols);
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
