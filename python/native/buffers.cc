#include "python/native/buffers.h"

#include <cstring>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/native/errors.h"

namespace bitsnap::python {
namespace {

template <class Array>
Array ToArray(nb::handle object, const std::string& name, const char* wanted) {
  Array array;
  if (!nb::try_cast(object, array, /*convert=*/false)) {
    throw nb::type_error(("tensor '" + name + "': its data must be a " + wanted +
                          "; for a torch tensor pass t.detach().cpu().contiguous()")
                             .c_str());
  }
  return array;
}

Error Invalid(std::string message) {
  return Error{ErrorKind::kInvalidArgument, std::move(message)};
}

DType ToDType(const std::string& text, const std::string& name) {
  const std::optional<DType> dtype = ParseDType(text);
  if (!dtype) {
    Throw(Invalid("tensor '" + name + "': unknown dtype '" + text +
                  "'; use a safetensors name such as F32 or BF16"));
  }
  return *dtype;
}

std::optional<Role> ToRole(const std::optional<std::string>& text, const std::string& name) {
  if (!text) return std::nullopt;
  const std::optional<Role> role = ParseRole(*text);
  if (!role) {
    Throw(Invalid("tensor '" + name + "': unknown role '" + *text +
                  "'; use weight, master, exp_avg, exp_avg_sq or other"));
  }
  return role;
}

TensorInfo ToInfo(nb::handle tensor) {
  TensorInfo info;
  info.name = nb::cast<std::string>(tensor.attr("name"));
  info.dtype = ToDType(nb::cast<std::string>(tensor.attr("dtype")), info.name);
  info.shape = nb::cast<std::vector<uint64_t>>(tensor.attr("shape"));
  info.role = ToRole(nb::cast<std::optional<std::string>>(tensor.attr("role")), info.name);
  info.group = nb::cast<std::string>(tensor.attr("group"));
  return info;
}

}  // namespace

BufferArgument::BufferArgument(nb::handle buffer) {
  if (!nb::try_cast(buffer, array_, /*convert=*/false)) {
    throw nb::type_error("a contiguous buffer or array in CPU memory is wanted");
  }
}

Layout::Layout(const nb::iterable& tensors) {
  for (nb::handle tensor : tensors) {
    const TensorInfo& info = infos_.emplace_back(ToInfo(tensor));
    const std::optional<uint64_t> bytes = TensorBytes(info.dtype, info.shape);
    if (!bytes) Throw(Invalid("tensor '" + info.name + "': its shape has no whole number of bytes"));
    bytes_.push_back(*bytes);
  }
}

std::vector<TensorView> Layout::At(std::span<const uint64_t> addresses) const {
  std::vector<TensorView> views;
  views.reserve(infos_.size());
  for (size_t i = 0; i < infos_.size(); ++i) {
    const auto* data = reinterpret_cast<const std::byte*>(static_cast<uintptr_t>(addresses[i]));
    views.push_back({infos_[i], {data, static_cast<size_t>(bytes_[i])}});
  }
  return views;
}

PlacedTensors::PlacedTensors(const Layout& layout, nb::handle addresses, nb::object owners)
    : layout_(&layout), owners_(std::move(owners)) {
  const BufferArgument argument(addresses);
  const std::span bytes = argument.bytes();
  if (bytes.size() != layout.size() * sizeof(uint64_t)) {
    Throw(Invalid("a layout of " + std::to_string(layout.size()) +
                  " tensors needs as many addresses of 64 bits"));
  }
  addresses_.resize(layout.size());
  if (!bytes.empty()) std::memcpy(addresses_.data(), bytes.data(), bytes.size());
}

TensorArguments::TensorArguments(nb::handle tensors) {
  if (nb::isinstance<PlacedTensors>(tensors)) {
    views_ = nb::cast<const PlacedTensors&>(tensors).Views();
    return;
  }
  if (!nb::isinstance<nb::iterable>(tensors)) {
    throw nb::type_error("tensors must be an iterable of bitsnap.Tensor");
  }
  for (nb::handle tensor : nb::cast<nb::iterable>(tensors)) {
    TensorInfo info = ToInfo(tensor);
    const auto& array = arrays_.emplace_back(ToArray<ReadOnlyArray>(
        tensor.attr("data"), info.name, "contiguous buffer or array in CPU memory"));
    const auto* bytes = static_cast<const std::byte*>(array.data());
    views_.push_back({std::move(info), {bytes, array.nbytes()}});
  }
}

ReadArguments::ReadArguments(const Snapshot& snapshot, const nb::iterable& requests) {
  for (nb::handle item : requests) {
    const auto request = nb::cast<nb::tuple>(item);
    const auto name = nb::cast<std::string>(request[0]);
    const std::optional<size_t> tensor = snapshot.Find(name);
    if (!tensor) {
      Throw({ErrorKind::kNotFound, "step " + std::to_string(snapshot.step()) + " has no tensor '" +
                                       name + "'; see Snapshot.tensors"});
    }
    auto& array = arrays_.emplace_back(ToArray<WritableArray>(
        request[1], name, "writable contiguous buffer or array in CPU memory"));
    const uint64_t offset = request.size() > 2 ? nb::cast<uint64_t>(request[2]) : 0;
    requests_.push_back({*tensor, offset, {static_cast<std::byte*>(array.data()), array.nbytes()}});
  }
}

void BindBuffers(nb::module_& module) {
  using nb::literals::operator""_a;
  nb::class_<Layout>(module, "Layout", "Tensors without their memory.")
      .def(nb::init<const nb::iterable&>(), "tensors"_a)
      .def("__len__", &Layout::size);
  nb::class_<PlacedTensors>(module, "PlacedTensors",
                            "A layout's tensors at addresses, which must be theirs.")
      .def(nb::init<const Layout&, nb::handle, nb::object>(), "layout"_a, "addresses"_a, "owners"_a,
           nb::keep_alive<1, 2>());
}

}  // namespace bitsnap::python
