// C++ reports as the dataclasses of bitsnap/records.py.
#pragma once

#include <vector>

#include <bitsnap/store.h>
#include <nanobind/nanobind.h>

namespace bitsnap::python {

namespace nb = nanobind;

nb::object ToRecord(const SaveReport& report);
nb::object ToRecord(const StoredTensor& tensor);
nb::object ToRecord(const PassedOver& passed_over);
nb::object ToRecord(const Lineage& lineage);
nb::object ToRecord(const StepOrigin& origin);
nb::object ToRecord(const StepInfo& step);
nb::object ToRecord(const RankOfStep& id);
nb::object ToRecord(const StoredFile& file);
nb::object ToRecord(const VerifyReport& report);
nb::object ToRecord(const PrunedStep& step);
nb::object ToRecord(const PruneReport& report);
nb::object ToRecord(const RepairItem& item);
nb::object ToRecord(const RepairReport& report);

template <class T>
nb::list ToRecords(const std::vector<T>& values) {
  nb::list records;
  for (const T& value : values) records.append(ToRecord(value));
  return records;
}

}  // namespace bitsnap::python
