#include "codec/delta/header.h"

#include <algorithm>

#include "base/try.h"
#include "codec/delta/slots.h"
#include "codec/delta/symbols.h"

namespace bitsnap::delta {
namespace {

// The first byte of a payload: number of classes less 1, whether runs follow, choice of lanes.
constexpr unsigned kClassesMask = 0x0f;
constexpr unsigned kHasRuns = 0x10;
constexpr unsigned kLanesShift = 5;

tl::unexpected<Error> Corrupt(const char* message) { return Fail(ErrorKind::kCorrupt, message); }

// Fills the header's table; returns the bytes read.
Result<size_t> ReadTable(DType dtype, Bytes bytes, Header& header) {
  BitReader bits(bytes);
  for (size_t k = 0; k < header.by_exponent.count; ++k) {
    const auto counts = context_rans::ReadCounts(SymbolsOf(dtype), bits);
    if (!counts) return Corrupt("delta block has malformed counts");
    context_rans::FillDecodeTable(context_rans::Normalize(*counts), k, header.table);
  }
  if (bits.size() > bytes.size() || !bits.ZeroPadded()) {
    return Corrupt("delta block has malformed counts");
  }
  return bits.size();
}

}  // namespace

std::byte* WriteHeader(const Runs& runs, size_t groups, const ClassPlan& plan,
                       unsigned lanes_choice, context_rans::EncodeTable& table, std::byte* out) {
  const size_t classes = plan.by_exponent.count;
  const bool all = runs.CoverAll(groups);
  const size_t first = (classes - 1) | (all ? 0 : kHasRuns) | lanes_choice << kLanesShift;
  *out++ = static_cast<std::byte>(first);
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

Result<Header> ReadHeader(DType dtype, size_t groups, Bytes payload, Scratch& scratch) {
  ByteReader reader(payload);
  const unsigned first = reader.Int<uint8_t>();
  const size_t choice = first >> kLanesShift;
  if (choice >= context_rans::kLaneChoices.size()) return Corrupt("delta block of unknown kind");
  const auto runs = (first & kHasRuns) != 0 ? Runs::Read(groups, reader) : Runs::All(groups);
  if (!runs) return Corrupt("delta block has malformed runs");
  Header header{*runs, context_rans::kLaneChoices[choice], {}, {}, {}};

  uint8_t last = 0;
  while (header.by_exponent.count <= (first & kClassesMask)) {
    const auto start = reader.Int<uint8_t>();
    if (start <= last) return Corrupt("delta block has classes out of order");
    header.by_exponent.Add(last = start);
  }

  const size_t entries = header.by_exponent.count * context_rans::kScale;
  const MutableBytes table = scratch.Get(kTableSlot, entries * sizeof(uint32_t));
  header.table = {reinterpret_cast<uint32_t*>(table.data()), entries};
  const Bytes rest = payload.last(reader.remaining());
  BITSNAP_ASSIGN(const size_t table_bytes, ReadTable(dtype, rest, header));
  header.body = rest.subspan(table_bytes);
  return header;
}

}  // namespace bitsnap::delta
