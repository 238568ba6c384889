// How the tensors of a unit share its blocks: a block holds the same range of words of each, one
// behind the other.
#pragma once

#include <algorithm>

#include "base/checked.h"
#include "codec/codec.h"

namespace bitsnap {

class UnitShape {
 public:
  UnitShape() = default;
  // Of tensors that have `words` words each.
  UnitShape(const PartList<DType>& dtypes, uint64_t words) : dtypes_(dtypes), words_(words) {
    for (DType dtype : dtypes) row_bytes_ += WordBytes(dtype);
    block_words_ = kBlockBytes / row_bytes_;
    // Dtypes of different sizes need not fill a block.
    if (block_words_ > kGroup) block_words_ -= block_words_ % kGroup;
  }

  size_t parts() const { return dtypes_.size(); }
  size_t row_bytes() const { return row_bytes_; }  // of one word of each part
  uint64_t blocks() const { return CeilDiv(words_, block_words_); }

  uint64_t FirstWord(uint64_t block) const { return block * block_words_; }
  size_t Words(uint64_t block) const {
    return static_cast<size_t>(std::min<uint64_t>(block_words_, words_ - FirstWord(block)));
  }

  // Bytes of a part in all blocks but the last, and where it begins in a block of so many words.
  size_t PartBytes(size_t part) const { return block_words_ * WordBytes(dtypes_[part]); }
  size_t PartBegin(size_t part, size_t words) const {
    size_t begin = 0;
    for (size_t k = 0; k < part; ++k) begin += words * WordBytes(dtypes_[k]);
    return begin;
  }

  // A block of so many words, cut into its parts. Requires: block.size() == words * row_bytes().
  MutableParts CutBlock(MutableBytes block, size_t words) const {
    return Cut(dtypes_, words, block);
  }

 private:
  static constexpr size_t kGroup = 64;  // words that bit planes and masks come in

  PartList<DType> dtypes_;
  uint64_t words_ = 0;
  size_t row_bytes_ = 0;
  size_t block_words_ = 1;
};

}  // namespace bitsnap
