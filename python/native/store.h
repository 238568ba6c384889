// A Store as Python sees it.
#pragma once

#include <nanobind/nanobind.h>

namespace bitsnap::python {

void BindStore(nanobind::module_& module);

}  // namespace bitsnap::python
