// A Saver and its tickets as Python sees them.
#pragma once

#include <nanobind/nanobind.h>

namespace bitsnap::python {

void BindSaver(nanobind::module_& module);

}  // namespace bitsnap::python
