#include "codec/delta/coded_words.h"

#include <cstring>

#include "codec/delta/slots.h"

namespace bitsnap::delta {

CodedWords::CodedWords(DType dtype, const Runs& runs, size_t block_bytes, Scratch& scratch)
    : dtype_(dtype), runs_(runs), block_bytes_(block_bytes) {
  symbols_ = scratch.Get(kSymbolsSlot, Count());
  classes_ = scratch.Get(kClassesSlot, Count());
}

CodedWords::CodedWords(DType dtype, const Runs& runs, size_t block_bytes, MutableBytes all,
                       Scratch& scratch)
    : dtype_(dtype), runs_(runs), block_bytes_(block_bytes) {
  symbols_ = all.first(Count());
  classes_ = scratch.Get(kClassesSlot, Count());
  ForEachRun([&](const Range& run) {
    const size_t from = run.begin / WordBytes(dtype_);
    if (run.first != from) std::memmove(&symbols_[run.first], &all[from], run.words);
  });
}

size_t CodedWords::Count() const {
  size_t count = 0;
  ForEachRun([&](const Range& run) { count += run.words; });
  return count;
}

void CodedWords::Exponents(Bytes base) const {
  ForEachRun([&](const Range& run) {
    delta::Exponents(dtype_, run.InBlock(base), run.InArray(classes_));
  });
}

void CodedWords::WriteExtras(Bytes base, Bytes raw, BitWriter& out) const {
  ForEachRun([&](const Range& run) {
    delta::WriteExtras(dtype_, run.InBlock(base), run.InBlock(raw), run.InArray(symbols_), out);
  });
}

void CodedWords::Restore(Bytes base, BitReader& extras, MutableBytes out) const {
  size_t end = 0;
  ForEachRun([&](const Range& run) {
    std::ranges::copy(base.subspan(end, run.begin - end), out.begin() + end);
    delta::Restore(dtype_, run.InBlock(base), run.InArray(symbols_), extras, run.InBlock(out));
    end = run.begin + run.bytes;
  });
  std::ranges::copy(base.subspan(end), out.begin() + end);
}

}  // namespace bitsnap::delta
