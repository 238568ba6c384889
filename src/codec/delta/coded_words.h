// The coded words of a block: run by run in the block, back to back in arrays of one byte a word.
#pragma once

#include <algorithm>

#include "codec/codec.h"
#include "codec/delta/kernel.h"
#include "codec/delta/runs.h"

namespace bitsnap::delta {

class CodedWords {
 public:
  // Keeps references to all; uses two slots of the scratch.
  CodedWords(DType dtype, const Runs& runs, size_t block_bytes, Scratch& scratch);
  // Takes the symbols from those of all words, in `all`, to whose front they are moved. Uses one
  // slot.
  CodedWords(DType dtype, const Runs& runs, size_t block_bytes, MutableBytes all, Scratch& scratch);

  MutableBytes symbols() const { return symbols_; }
  MutableBytes classes() const { return classes_; }

  // Into classes().
  void Exponents(Bytes base) const;
  void WriteExtras(Bytes base, Bytes raw, BitWriter& out) const;
  // Words that are not coded are the base's.
  void Restore(Bytes base, BitReader& extras, MutableBytes out) const;

 private:
  // The bytes of a run in the block, and its words in the arrays.
  struct Range {
    size_t begin, bytes;
    size_t first, words;

    template <class Span>
    Span InBlock(Span block) const {
      return block.subspan(begin, bytes);
    }
    MutableBytes InArray(MutableBytes array) const { return array.subspan(first, words); }
  };

  template <class Body>
  void ForEachRun(Body&& body) const {
    const size_t group_bytes = kGroup * WordBytes(dtype_);
    size_t word = 0;
    for (const Run& run : runs_.runs()) {
      const size_t begin = run.begin * group_bytes;
      const size_t bytes = std::min(run.end * group_bytes, block_bytes_) - begin;
      const Range range{begin, bytes, word, bytes / WordBytes(dtype_)};
      body(range);
      word += range.words;
    }
  }

  size_t Count() const;

  DType dtype_;
  const Runs& runs_;
  size_t block_bytes_;
  MutableBytes symbols_, classes_;
};

}  // namespace bitsnap::delta
