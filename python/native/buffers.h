// Python buffers and arrays as spans of bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <bitsnap/store.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace bitsnap::python {

namespace nb = nanobind;

using ReadOnlyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using WritableArray = nb::ndarray<nb::c_contig, nb::device::cpu>;

// The bytes of a buffer or array, as long as this object lives.
class BufferArgument {
 public:
  explicit BufferArgument(nb::handle buffer);
  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(array_.data()), array_.nbytes()};
  }

 private:
  ReadOnlyArray array_;
};

// Tensors of bitsnap.records.Tensor objects; the views live as long as this object.
class TensorArguments {
 public:
  explicit TensorArguments(const nb::iterable& tensors);
  std::span<const TensorView> views() const { return views_; }

 private:
  std::vector<ReadOnlyArray> arrays_;
  std::vector<TensorView> views_;
};

// (name, buffer[, offset]) tuples as requests to `snapshot`; valid as long as this object.
class ReadArguments {
 public:
  ReadArguments(const Snapshot& snapshot, const nb::iterable& requests);
  std::span<const ReadRequest> requests() const { return requests_; }

 private:
  std::vector<WritableArray> arrays_;
  std::vector<ReadRequest> requests_;
};

}  // namespace bitsnap::python
