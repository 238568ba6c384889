// Texts that come from a file, which may hold any bytes.
#pragma once

#include <string>
#include <string_view>

#include <nanobind/nanobind.h>

namespace bitsnap::python {

namespace nb = nanobind;

// As a str; bytes that are no UTF-8 become lone surrogates, as in Python's file names, so that
// FromText gives them back.
inline nb::object ToText(std::string_view text) {
  return nb::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape"));
}

inline std::string FromText(nb::handle text) {
  const auto bytes =
      nb::steal<nb::bytes>(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogateescape"));
  if (!bytes.is_valid()) throw nb::python_error();
  return {bytes.c_str(), bytes.size()};
}

}  // namespace bitsnap::python
