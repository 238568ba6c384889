#include "python/native/records.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "python/native/errors.h"
#include "python/native/text.h"

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
      "base_reason"_a = ToText(report.base_reason), "seconds"_a = report.seconds, "roles"_a = roles,
      "pruned"_a = report.pruned ? ToRecord(*report.pruned) : nb::none(),
      "prune_error"_a = report.prune_error ? ToException(*report.prune_error) : nb::none());
}

nb::object ToRecord(const StoredTensor& tensor) {
  nb::dict error;
  for (const Metric& metric : tensor.error) error[ToText(metric.name)] = metric.value;
  return Class("StoredTensor")(
      "name"_a = ToText(tensor.info.name), "dtype"_a = DTypeName(tensor.info.dtype),
      "shape"_a = nb::tuple(nb::cast(tensor.info.shape)),
      "role"_a = RoleName(tensor.info.role.value_or(Role::kOther)),
      "group"_a = ToText(tensor.info.group), "codec"_a = tensor.codec,
      "raw_bytes"_a = tensor.raw_bytes, "stored_bytes"_a = tensor.stored_bytes, "error"_a = error,
      "why"_a = ToText(tensor.why));
}

nb::object ToRecord(const PassedOver& passed_over) {
  return Class("PassedOver")("step"_a = passed_over.step,
                             "error"_a = ToException(passed_over.error));
}

nb::object ToRecord(const Lineage& lineage) {
  nb::list ancestors;
  for (const Ancestor& each : lineage.ancestors) {
    ancestors.append(nb::make_tuple(each.run, each.up_to));
  }
  const auto& parent = lineage.parent;
  return Class("Lineage")(
      "run"_a = lineage.run, "order"_a = lineage.order,
      "parent"_a = parent ? nb::object(nb::make_tuple(parent->step, parent->save_id)) : nb::none(),
      "ancestors"_a = nb::tuple(ancestors));
}

nb::object ToRecord(const StepOrigin& origin) {
  return Class("StepOrigin")("step"_a = origin.step, "save_id"_a = origin.save_id,
                             "lineage"_a = origin.lineage ? ToRecord(*origin.lineage) : nb::none(),
                             "left_behind"_a = origin.left_behind);
}

nb::object ToRecord(const StepInfo& step) {
  return Class("StepInfo")("step"_a = step.step, "world_size"_a = step.world_size,
                           "ranks"_a = step.ranks, "whole"_a = step.whole,
                           "why_not"_a = ToText(step.why_not), "abandoned"_a = step.abandoned,
                           "stored_bytes"_a = step.stored_bytes, "base_step"_a = step.base_step);
}

nb::object ToRecord(const RankOfStep& id) {
  return Class("RankOfStep")(id.step, id.rank, id.world_size);
}

nb::object ToRecord(const StoredFile& file) {
  return Class("StoredFile")("id"_a = ToRecord(file.id), "path"_a = file.path,
                             "save_id"_a = file.save_id, "lineage"_a = ToRecord(file.lineage),
                             "bytes"_a = file.bytes, "hash"_a = file.hash,
                             "base_step"_a = file.base_step, "base_hash"_a = file.base_hash);
}

nb::object ToRecord(const VerifyReport& report) {
  return Class("VerifyReport")("files"_a = report.files, "raw_bytes"_a = report.raw_bytes,
                               "broken"_a = ToRecords(report.broken));
}

nb::object ToRecord(const PrunedStep& step) {
  return Class("PrunedStep")("step"_a = step.step, "bytes"_a = step.bytes);
}

nb::object ToRecord(const PruneReport& report) {
  nb::dict left_alone;
  for (const LeftAlone& left : report.left_alone)
    left_alone[nb::cast(left.step)] = ToText(left.why);
  return Class("PruneReport")("kept"_a = report.kept, "removed"_a = ToRecords(report.removed),
                              "optimizer_dropped"_a = ToRecords(report.thinned),
                              "left_alone"_a = left_alone, "abandoned"_a = report.abandoned,
                              "bytes"_a = report.bytes);
}

nb::object ToRecord(const RepairItem& item) {
  return Class("RepairItem")("path"_a = item.path, "bytes"_a = item.bytes,
                             "why"_a = ToText(item.why));
}

nb::object ToRecord(const RepairReport& report) {
  return Class("RepairReport")("repaired"_a = ToRecords(report.repaired),
                               "left"_a = ToRecords(report.left), "bytes"_a = report.bytes);
}

}  // namespace bitsnap::python
