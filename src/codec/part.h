// What is coded together: one range of each of several tensors.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>

#include <bitsnap/dtype.h>

#include "base/bytes.h"

namespace bitsnap {

// Of the tensors that are coded together.
inline constexpr size_t kMaxParts = 4;

// At most kMaxParts of something, in the order of the parts. Allocates nothing.
template <class T>
class PartList {
 public:
  PartList() = default;
  PartList(std::initializer_list<T> items) {
    for (const T& item : items) push_back(item);
  }

  // Requires: size() < kMaxParts.
  void push_back(const T& item) { items_[size_++] = item; }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const T* data() const { return items_.data(); }
  const T* begin() const { return items_.data(); }
  const T* end() const { return items_.data() + size_; }
  const T& operator[](size_t part) const { return items_[part]; }
  const T& front() const { return items_[0]; }

 private:
  std::array<T, kMaxParts> items_{};
  size_t size_ = 0;
};

// A range of one tensor. All parts of a block have as many words (see WordBytes).
template <class Span>
struct PartOf {
  DType dtype = DType::kU8;
  Span bytes = {};

  size_t words() const { return bytes.size() / WordBytes(dtype); }
};
using Part = PartOf<Bytes>;
using MutablePart = PartOf<MutableBytes>;
using Parts = PartList<Part>;
using MutableParts = PartList<MutablePart>;

// Of all parts.
template <class Span>
size_t RawBytes(const PartList<PartOf<Span>>& parts) {
  size_t bytes = 0;
  for (const auto& part : parts) bytes += part.bytes.size();
  return bytes;
}

template <class Span>
PartList<Bytes> BytesOf(const PartList<PartOf<Span>>& parts) {
  PartList<Bytes> bytes;
  for (const auto& part : parts) bytes.push_back(part.bytes);
  return bytes;
}

// `bytes`, cut into parts of these dtypes and so many words. Requires: room for them all.
inline MutableParts Cut(const PartList<DType>& dtypes, size_t words, MutableBytes bytes) {
  MutableParts parts;
  for (DType dtype : dtypes) {
    parts.push_back({dtype, bytes.first(words * WordBytes(dtype))});
    bytes = bytes.subspan(words * WordBytes(dtype));
  }
  return parts;
}

// The same of dtypes and words like those of other parts.
template <class Span>
MutableParts CutLike(const PartList<PartOf<Span>>& parts, MutableBytes bytes) {
  PartList<DType> dtypes;
  for (const auto& part : parts) dtypes.push_back(part.dtype);
  return Cut(dtypes, parts[0].words(), bytes);
}

}  // namespace bitsnap
