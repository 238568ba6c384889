#include "python/native/buffers.h"

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

TensorArguments::TensorArguments(const nb::iterable& tensors) {
  for (nb::handle tensor : tensors) {
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

}  // namespace bitsnap::python
