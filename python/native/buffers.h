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

// Tensors of bitsnap.records.Tensor objects without their memory. Made once for all saves that
// differ in nothing but memory: making it costs more than a save of many small tensors.
class Layout {
 public:
  explicit Layout(const nb::iterable& tensors);
  size_t size() const { return infos_.size(); }
  // The tensors with their memory at `addresses`, one for each.
  std::vector<TensorView> At(std::span<const uint64_t> addresses) const;

 private:
  std::vector<TensorInfo> infos_;
  std::vector<uint64_t> bytes_;  // of each tensor
};

// A layout and where its tensors lie: it believes the addresses, as nothing in Python can check
// them. Keeps `owners` of the memory alive.
class PlacedTensors {
 public:
  PlacedTensors(const Layout& layout, nb::handle addresses, nb::object owners);
  std::vector<TensorView> Views() const { return layout_->At(addresses_); }

 private:
  const Layout* layout_;  // kept alive by the binding
  std::vector<uint64_t> addresses_;
  nb::object owners_;
};

// PlacedTensors, or bitsnap.records.Tensor objects; the views live as long as this object and they.
class TensorArguments {
 public:
  explicit TensorArguments(nb::handle tensors);
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

void BindBuffers(nb::module_& module);

}  // namespace bitsnap::python
