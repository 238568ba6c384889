#include <nanobind/nanobind.h>

#include "python/native/snapshot.h"
#include "python/native/store.h"

NB_MODULE(_native, module) {
  module.doc() = "The C++ library's store; see bitsnap for the documented names.";
  module.attr("__version__") = BITSNAP_VERSION;
  bitsnap::python::BindSnapshot(module);
  bitsnap::python::BindStore(module);
}
