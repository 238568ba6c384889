#include <bitsnap/options.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string_view.h>

#include "python/native/snapshot.h"
#include "python/native/store.h"

using bitsnap::Profile;
using bitsnap::ProfileName;

NB_MODULE(_native, module) {
  module.doc() = "The C++ library's store; see bitsnap for the documented names.";
  module.attr("__version__") = BITSNAP_VERSION;
  module.attr("PROFILES") = nanobind::make_tuple(
      ProfileName(Profile::kExact), ProfileName(Profile::kFast), ProfileName(Profile::kPaper));
  bitsnap::python::BindSnapshot(module);
  bitsnap::python::BindStore(module);
}
