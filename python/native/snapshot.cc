#include "python/native/snapshot.h"

#include <chrono>
#include <thread>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>

#include "python/native/buffers.h"
#include "python/native/records.h"
#include "python/native/text.h"
#include "python/native/watch.h"

namespace bitsnap::python {

using nb::literals::operator""_a;

const Snapshot& SnapshotHandle::get() const {
  if (snapshot_ == nullptr) {
    Throw({ErrorKind::kInvalidArgument,
           "this snapshot was closed when the callback of restore_newest returned; use open_step"});
  }
  return *snapshot_;
}

void SnapshotHandle::ReadInto(const nb::iterable& requests, unsigned threads,
                              const nb::object& progress) {
  const Snapshot& snapshot = get();
  const ReadArguments arguments(snapshot, requests);
  struct Count {
    int& reads;
    explicit Count(int& under_way) : reads(under_way) { ++reads; }
    ~Count() { --reads; }
  } count(reads_under_way_);
  RunWatched(progress, [&](const Progress& advance) {
    return snapshot.Read(arguments.requests(), threads, advance);
  });
}

void SnapshotHandle::Close() {
  snapshot_ = nullptr;
  while (reads_under_way_ > 0) {
    nb::gil_scoped_release release;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void BindSnapshot(nb::module_& module) {
  using Self = const SnapshotHandle&;
  nb::class_<SnapshotHandle>(module, "Snapshot",
                             "One rank file opened for reading, with the base it leans on.")
      .def_prop_ro("step", [](Self self) { return self.get().step(); })
      .def_prop_ro("rank", [](Self self) { return self.get().rank(); })
      .def_prop_ro("world_size", [](Self self) { return self.get().world_size(); })
      .def_prop_ro("save_id", [](Self self) { return self.get().save_id(); })
      .def_prop_ro("lineage", [](Self self) { return ToRecord(self.get().lineage()); })
      .def_prop_ro("base_step", [](Self self) { return self.get().base_step(); })
      .def_prop_ro("profile", [](Self self) { return ToText(self.get().profile()); })
      .def_prop_ro("metadata",
                   [](Self self) {
                     const std::string_view metadata = self.get().metadata();
                     return nb::bytes(metadata.data(), metadata.size());
                   })
      .def_prop_ro(
          "tensors", [](Self self) { return ToRecords(self.get().tensors()); },
          "All tensors; built anew at each access.")
      .def("read_into", &SnapshotHandle::ReadInto, "requests"_a, "threads"_a = 0,
           "progress"_a = nb::none(),
           "Fill writable buffers, given as (name, buffer) or (name, buffer, first byte), with "
           "tensors' bytes, all in parallel.");
}

}  // namespace bitsnap::python
