#include "codec/entropy/rans.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/checked.h"
#include "codec/entropy/bits.h"
#include "codec/entropy/estimate.h"

namespace bitsnap::rans {
namespace {

using context_rans::kMaxLanes;
using context_rans::States;

constexpr size_t kHalf = context_rans::HalfStateBytes(kMaxLanes);
constexpr size_t kTableBytes = context_rans::kMaxTableBits / 8 + 1;

// The contexts of a piece of symbols, which are coded piece by piece so that these stay in L1.
constexpr size_t kPiece = 4096;
static_assert(kPiece % kMaxLanes == 0);
constexpr std::array<std::byte, kPiece> kContexts{};

Bytes ContextsOf(size_t symbols) { return Bytes(kContexts).first(symbols); }

std::byte* WriteTable(Bytes symbols, context_rans::EncodeTable& table, std::byte* out) {
  context_rans::Counts counts = CountSymbols(symbols);
  for (uint32_t& count : counts) count = context_rans::Rounded(count);
  BitWriter bits(out);
  context_rans::WriteCounts(counts, bits);
  context_rans::FillEncodeTable(context_rans::Normalize(counts), 0, table);
  return out + bits.size();
}

// Fills `table`; returns the bytes read, nullopt when they are malformed.
std::optional<size_t> ReadTable(Bytes coded, context_rans::DecodeTable table) {
  BitReader bits(coded);
  const auto counts = context_rans::ReadCounts(256, bits);
  if (!counts || bits.size() > coded.size() || !bits.ZeroPadded()) return std::nullopt;
  context_rans::FillDecodeTable(context_rans::Normalize(*counts), 0, table);
  return bits.size();
}

bool IsInitial(uint32_t state) { return state == context_rans::kInitialState; }

}  // namespace

size_t EncodeBound(size_t symbols) {
  return kTableBytes + 2 * kHalf + 2 * symbols + context_rans::kEncodeSlack;
}

std::optional<size_t> Encode(Bytes symbols, MutableBytes out) {
  context_rans::EncodeTable table;
  std::byte* const first_half = WriteTable(symbols, table, out.data());
  std::byte* end = first_half + kHalf;
  States states;
  states.fill(context_rans::kInitialState);
  for (size_t i = 0; i < symbols.size(); i += kPiece) {
    const Bytes piece = symbols.subspan(i, std::min(kPiece, symbols.size() - i));
    end +=
        context_rans::EncodeSymbols(table, kMaxLanes, piece, ContextsOf(piece.size()), states, end);
  }
  std::memcpy(first_half, states.data(), kHalf);
  std::memcpy(end, &states[kMaxLanes / 2], kHalf);
  const size_t size = end + kHalf - out.data();
  if (size >= symbols.size()) return std::nullopt;
  return size;
}

bool Decode(Bytes coded, MutableBytes symbols, MutableBytes work) {
  const context_rans::DecodeTable table(reinterpret_cast<uint32_t*>(work.data()),
                                        context_rans::kScale);
  const auto table_bytes = ReadTable(coded, table);
  if (!table_bytes || coded.size() - *table_bytes < 2 * kHalf) return false;
  const Bytes body = coded.subspan(*table_bytes);
  States states;
  std::memcpy(states.data(), body.data(), kHalf);
  std::memcpy(&states[kMaxLanes / 2], body.last(kHalf).data(), kHalf);
  size_t words = body.size() - 2 * kHalf;
  for (size_t end = symbols.size(); end > 0;) {
    const size_t size = end % kPiece != 0 ? end % kPiece : kPiece;
    end -= size;
    const auto left =
        context_rans::DecodeSymbols(table, kMaxLanes, body.subspan(kHalf, words), ContextsOf(size),
                                    states, symbols.subspan(end, size));
    if (!left) return false;
    words = *left;
  }
  return words == 0 && std::ranges::all_of(states, IsInitial);
}

}  // namespace bitsnap::rans
