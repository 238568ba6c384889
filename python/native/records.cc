#include "python/native/records.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "python/native/errors.h"

namespace bitsnap::python {
namespace {

using nb::literals::operator""_a;

nb::object Class(const char* name) { return nb::module_::import_("bitsnap.records").attr(name); }

}  // namespace

nb::object ToRecord(const SaveReport& report) {
  nb::dict roles;
  for (const auto& [role, bytes] : report.roles) {
    roles[nb::cast(RoleName(role))] =
        Class("RoleBytes")("raw_bytes"_a = bytes.raw_bytes, "stored_bytes"_a = bytes.stored_bytes);
  }
  const double ratio =
      static_cast<double>(report.raw_bytes) / static_cast<double>(report.stored_bytes);
  return Class("SaveReport")(
      "ratio"_a = ratio, "step"_a = report.step, "raw_bytes"_a = report.raw_bytes,
      "stored_bytes"_a = report.stored_bytes, "base_step"_a = report.base_step,
      "base_reason"_a = report.base_reason, "seconds"_a = report.seconds, "roles"_a = roles);
}

nb::object ToRecord(const StoredTensor& tensor) {
  nb::dict error;
  for (const Metric& metric : tensor.error) error[nb::cast(metric.name)] = metric.value;
  return Class("StoredTensor")(
      "name"_a = tensor.info.name, "dtype"_a = DTypeName(tensor.info.dtype),
      "shape"_a = nb::tuple(nb::cast(tensor.info.shape)),
      "role"_a = RoleName(tensor.info.role.value_or(Role::kOther)), "group"_a = tensor.info.group,
      "codec"_a = tensor.codec, "raw_bytes"_a = tensor.raw_bytes,
      "stored_bytes"_a = tensor.stored_bytes, "error"_a = error, "why"_a = tensor.why);
}

nb::object ToRecord(const PassedOver& passed_over) {
  return Class("PassedOver")("step"_a = passed_over.step,
                             "error"_a = ToException(passed_over.error));
}

nb::object ToRecord(const StepInfo& step) {
  return Class("StepInfo")("step"_a = step.step, "world_size"_a = step.world_size,
                           "ranks"_a = step.ranks, "whole"_a = step.whole,
                           "why_not"_a = step.why_not, "stored_bytes"_a = step.stored_bytes,
                           "base_step"_a = step.base_step);
}

nb::object ToRecord(const VerifyReport& report) {
  return Class("VerifyReport")("files"_a = report.files, "raw_bytes"_a = report.raw_bytes,
                               "broken"_a = ToRecords(report.broken));
}

}  // namespace bitsnap::python
