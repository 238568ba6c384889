#include <bitsnap/options.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string_view.h>

#include "python/native/buffers.h"
#include "python/native/saver.h"
#include "python/native/snapshot.h"
#include "python/native/store.h"

namespace {

nanobind::tuple ProfileNames() {
  nanobind::list names;
  for (const bitsnap::Profile profile : bitsnap::AllProfiles()) {
    names.append(bitsnap::ProfileName(profile));
  }
  return nanobind::tuple(names);
}

}  // namespace

NB_MODULE(_native, module) {
  module.doc() = "The C++ library's store; see bitsnap for the documented names.";
  module.attr("__version__") = BITSNAP_VERSION;
  module.attr("PROFILES") = ProfileNames();
  bitsnap::python::BindBuffers(module);
  bitsnap::python::BindSnapshot(module);
  bitsnap::python::BindStore(module);
  bitsnap::python::BindSaver(module);
}
