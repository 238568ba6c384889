// A Snapshot as Python sees it.
#pragma once

#include <optional>

#include <bitsnap/store.h>
#include <nanobind/nanobind.h>

namespace bitsnap::python {

namespace nb = nanobind;

// Either owns its snapshot or borrows one until Close(). Its members are guarded by the GIL.
class SnapshotHandle {
 public:
  explicit SnapshotHandle(Snapshot owned) : owned_(std::move(owned)), snapshot_(&*owned_) {}
  explicit SnapshotHandle(const Snapshot* borrowed) : snapshot_(borrowed) {}
  SnapshotHandle(const SnapshotHandle&) = delete;
  SnapshotHandle& operator=(const SnapshotHandle&) = delete;

  // Throws when closed.
  const Snapshot& get() const;
  void ReadInto(const nb::iterable& requests, unsigned threads, const nb::object& progress);
  // Waits for reads under way in other threads.
  void Close();

 private:
  std::optional<Snapshot> owned_;
  const Snapshot* snapshot_;
  int reads_under_way_ = 0;
};

void BindSnapshot(nb::module_& module);

}  // namespace bitsnap::python
