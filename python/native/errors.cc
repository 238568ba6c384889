#include "python/native/errors.h"

#include <array>
#include <string>

#include <nanobind/stl/string.h>

namespace bitsnap::python {
namespace {

struct ErrorClass {
  ErrorKind kind;
  const char* name;
};

// Derived classes stand before their bases.
constexpr std::array<ErrorClass, 12> kClasses = {{
    {ErrorKind::kInvalidArgument, "InvalidArgument"},
    {ErrorKind::kNotFound, "NotFound"},
    {ErrorKind::kAlreadyExists, "AlreadyExists"},
    {ErrorKind::kTruncated, "Truncated"},
    {ErrorKind::kCorrupt, "Corrupt"},
    {ErrorKind::kUnsupportedVersion, "UnsupportedVersion"},
    {ErrorKind::kMissingBase, "MissingBase"},
    {ErrorKind::kOutOfSpace, "OutOfSpace"},
    {ErrorKind::kDurabilityUnknown, "DurabilityUnknown"},
    {ErrorKind::kIo, "IoFailed"},
    {ErrorKind::kCancelled, "Cancelled"},
    {ErrorKind::kBusy, "Busy"},
}};

nb::object Class(const char* name) { return nb::module_::import_("bitsnap.errors").attr(name); }

nb::object Class(ErrorKind kind) {
  for (const ErrorClass& entry : kClasses) {
    if (entry.kind == kind) return Class(entry.name);
  }
  return Class("BitSnapError");
}

// Messages may quote file names of any bytes.
nb::object Text(const std::string& text) {
  return nb::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "backslashreplace"));
}

}  // namespace

nb::object ToException(const Error& error) { return Class(error.kind)(Text(error.message)); }

void Throw(const Error& error) {
  nb::object exception = ToException(error);
  PyErr_SetObject(exception.type().ptr(), exception.ptr());
  throw nb::python_error();
}

std::optional<Error> FromException(const nb::python_error& exception) {
  for (const ErrorClass& entry : kClasses) {
    if (exception.matches(Class(entry.name))) {
      return Error{entry.kind, nb::cast<std::string>(nb::str(exception.value()))};
    }
  }
  return std::nullopt;
}

}  // namespace bitsnap::python
