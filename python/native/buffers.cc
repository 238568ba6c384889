#include "python/native/buffers.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/native/errors.h"
#include "python/native/text.h"

namespace bitsnap::python {
namespace {

[[noreturn]] void RaiseTypeError(const std::string& message) {
  throw nb::type_error(message.c_str());
}

// `what` is what was to be one, in the message.
template <class T>
T CastTo(nb::handle object, const std::string& what) {
  T value;
  if (!nb::try_cast(object, value)) RaiseTypeError(what);
  return value;
}

// What torch hands out of a tensor says nothing of its storage, which resize_() may have shrunk,
// nor of values that are yet to be conjugated or negated. Requires: `tensor` is contiguous.
void RequireTorchMemory(nb::handle tensor, size_t bytes, const std::string& name) {
  const auto offset = nb::cast<size_t>(tensor.attr("storage_offset")()) *
                      nb::cast<size_t>(tensor.attr("element_size")());
  const auto there = nb::cast<size_t>(tensor.attr("untyped_storage")().attr("nbytes")());
  if (offset > there || bytes > there - offset) {
    RaiseTypeError("tensor '" + name + "': needs " + std::to_string(bytes) +
                   " bytes and its storage was shrunk to " + std::to_string(there) +
                   "; bring it back with untyped_storage().resize_()");
  }
  if (nb::cast<bool>(tensor.attr("is_conj")()) || nb::cast<bool>(tensor.attr("is_neg")())) {
    RaiseTypeError("tensor '" + name +
                   "': is conjugated or negated only when it is read; pass "
                   "t.resolve_conj().resolve_neg()");
  }
}

template <class Array>
Array ToArray(nb::handle object, const std::string& name, const char* wanted) {
  Array array;
  if (!nb::try_cast(object, array, /*convert=*/false)) {
    RaiseTypeError("tensor '" + name + "': its data must be a " + wanted +
                   "; for a torch tensor pass t.detach().cpu().contiguous()");
  }
  if (array.nbytes() == 0) return array;
  if (nb::hasattr(object, "untyped_storage")) RequireTorchMemory(object, array.nbytes(), name);
  if (array.data() == nullptr) RaiseTypeError("tensor '" + name + "': its data has no memory");
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
  info.name = CastTo<std::string>(tensor.attr("name"), "a tensor's name must be text");
  const std::string of = "tensor '" + info.name + "': its ";
  info.dtype =
      ToDType(CastTo<std::string>(tensor.attr("dtype"), of + "dtype must be text"), info.name);
  info.shape = CastTo<std::vector<uint64_t>>(tensor.attr("shape"),
                                             of + "shape must be a tuple of sizes from 0 on");
  info.role = ToRole(
      CastTo<std::optional<std::string>>(tensor.attr("role"), of + "role must be text or None"),
      info.name);
  info.group = CastTo<std::string>(tensor.attr("group"), of + "group must be text");
  return info;
}

// Two that are read at once into the same bytes would leave either there.
void RequireApart(const Snapshot& snapshot, std::span<const ReadRequest> requests) {
  std::vector<const ReadRequest*> sorted;
  for (const ReadRequest& request : requests) {
    if (!request.out.empty()) sorted.push_back(&request);
  }
  std::ranges::sort(sorted, std::less<>(), [](const auto* request) { return request->out.data(); });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const ReadRequest& before = *sorted[i - 1];
    if (std::less<>()(sorted[i]->out.data(), before.out.data() + before.out.size())) {
      const auto& tensors = snapshot.tensors();
      Throw(Invalid("the buffers for tensors '" + tensors[before.tensor].info.name + "' and '" +
                    tensors[sorted[i]->tensor].info.name +
                    "' overlap; read them into memory of their own"));
    }
  }
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
    if (!bytes) Throw(Invalid("tensor '" + info.name + "': its shape has no size in bytes"));
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
  static constexpr const char* kForm = "a request is (name, buffer) or (name, buffer, first byte)";
  for (nb::handle item : requests) {
    const auto request = CastTo<nb::tuple>(item, kForm);
    if (request.size() != 2 && request.size() != 3) RaiseTypeError(kForm);
    if (!nb::isinstance<nb::str>(request[0])) RaiseTypeError(kForm);
    const std::string name = FromText(request[0]);
    const std::optional<size_t> tensor = snapshot.Find(name);
    if (!tensor) {
      Throw({ErrorKind::kNotFound, "step " + std::to_string(snapshot.step()) + " has no tensor '" +
                                       name + "'; see Snapshot.tensors"});
    }
    auto& array = arrays_.emplace_back(ToArray<WritableArray>(
        request[1], name, "writable contiguous buffer or array in CPU memory"));
    const uint64_t offset = request.size() == 3 ? CastTo<uint64_t>(request[2], kForm) : 0;
    requests_.push_back({*tensor, offset, {static_cast<std::byte*>(array.data()), array.nbytes()}});
  }
  RequireApart(snapshot, requests_);
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
