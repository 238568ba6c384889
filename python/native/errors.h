// Between bitsnap::Error and the exception classes of bitsnap/errors.py.
#pragma once

#include <optional>
#include <utility>

#include <bitsnap/result.h>
#include <nanobind/nanobind.h>

namespace bitsnap::python {

namespace nb = nanobind;

// An exception object for `error`.
nb::object ToException(const Error& error);
[[noreturn]] void Throw(const Error& error);
// The error that a Python exception stands for; nullopt when it is not a BitSnapError.
std::optional<Error> FromException(const nb::python_error& exception);

template <class T>
T ValueOrThrow(Result<T>&& result) {
  if (!result) Throw(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace bitsnap::python
