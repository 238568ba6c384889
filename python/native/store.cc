#include "python/native/store.h"

#include <exception>
#include <span>

#include <bitsnap/store.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/native/buffers.h"
#include "python/native/errors.h"
#include "python/native/options.h"
#include "python/native/records.h"
#include "python/native/save_arguments.h"
#include "python/native/snapshot.h"
#include "python/native/watch.h"

namespace bitsnap::python {
namespace {

namespace nb = nanobind;
using nb::literals::operator""_a;

void Init(Store* self, const nb::object& path, bool create) {
  // "~" is meant as everywhere in Python.
  const nb::object expanded = nb::module_::import_("os.path").attr("expanduser")(path);
  const auto directory = nb::cast<std::filesystem::path>(expanded);
  auto store = create ? Store::OpenOrCreate(directory) : Store::Open(directory);
  new (self) Store(ValueOrThrow(std::move(store)));
}

nb::object Save(Store& self, std::span<const TensorView> tensors, SaveOptions options,
                const nb::object& progress) {
  return ToRecord(RunWatched(progress, [&](const Progress& advance) {
    options.progress = advance;
    return self.Save(tensors, options);
  }));
}

// The result of `work`, done without the GIL.
template <class Work>
auto WithoutGil(Work work) {
  auto result = [&] {
    nb::gil_scoped_release release;
    return work();
  }();
  return ValueOrThrow(std::move(result));
}

SnapshotHandle* Open(const Store& self, uint64_t step, uint32_t rank) {
  return new SnapshotHandle(WithoutGil([&] { return self.OpenStep(step, rank); }));
}

SnapshotHandle* OpenRank(const Store& self, uint64_t step, uint32_t rank, uint32_t world_size) {
  return new SnapshotHandle(WithoutGil([&] { return self.OpenRank({step, rank, world_size}); }));
}

nb::list ListRanks(const Store& self, std::optional<nb::list> unreadable) {
  std::vector<PassedOver> failures;
  nb::list ranks = ToRecords(WithoutGil([&] { return self.ListRanks(&failures); }));
  if (unreadable) unreadable->extend(ToRecords(failures));
  return ranks;
}

nb::list FilesOf(const Store& self, uint64_t step, uint32_t rank, uint32_t world_size) {
  return ToRecords(WithoutGil([&] { return self.FilesOf({step, rank, world_size}); }));
}

nb::object Adopt(Store& self, const nb::object& content, const nb::object& base) {
  const BufferArgument bytes(content);
  const auto base_bytes = base.is_none() ? std::nullopt : std::optional<BufferArgument>(base);
  return ToRecord(WithoutGil([&] {
    return self.Adopt(bytes.bytes(),
                      base_bytes ? base_bytes->bytes() : std::span<const std::byte>());
  }));
}

nb::object Check(const nb::object& content) {
  const BufferArgument bytes(content);
  return ToRecord(WithoutGil([&] { return CheckRankFile(bytes.bytes()); }));
}

// Calls `use` with a Snapshot that is closed afterwards. Exceptions that are no BitSnapError go to
// `raised`.
Result<void> Use(const nb::callable& use, const Snapshot& snapshot, std::exception_ptr& raised) {
  nb::gil_scoped_acquire acquire;
  auto* handle = new SnapshotHandle(&snapshot);
  const nb::object owner = nb::cast(handle, nb::rv_policy::take_ownership);
  Result<void> result;
  try {
    use(owner);
  } catch (const nb::python_error& exception) {
    const std::optional<Error> error = FromException(exception);
    if (!error) raised = std::current_exception();
    result = tl::make_unexpected(error.value_or(Error{ErrorKind::kCancelled, "exception"}));
  }
  handle->Close();
  return result;
}

uint64_t RestoreNewest(const Store& self, const nb::callable& use, uint32_t rank,
                       std::optional<nb::list> passed_over) {
  std::vector<PassedOver> passed;
  std::exception_ptr raised;
  auto step = [&] {
    nb::gil_scoped_release release;
    return self.RestoreNewest(
        rank, [&](const Snapshot& snapshot) { return Use(use, snapshot, raised); }, &passed);
  }();
  if (passed_over) passed_over->extend(ToRecords(passed));
  if (raised) std::rethrow_exception(raised);
  return ValueOrThrow(std::move(step));
}

nb::list List(const Store& self) {
  return ToRecords(WithoutGil([&] { return self.List(); }));
}

nb::object Verify(const Store& self, std::optional<uint64_t> step, unsigned threads,
                  const nb::object& progress) {
  return ToRecord(RunWatched(
      progress, [&](const Progress& advance) { return self.Verify(step, threads, advance); }));
}

nb::object Prune(Store& self, const Rule& keep_last, const Rule& keep_every,
                 const Rule& drop_optimizer_older_than, const Rule& whole_up_to,
                 bool drop_abandoned, std::vector<uint64_t> passed_over, std::vector<uint64_t> keep,
                 bool dry_run) {
  const RetentionPolicy policy{keep_last,      keep_every,     drop_optimizer_older_than,
                               whole_up_to,    drop_abandoned, std::move(passed_over),
                               std::move(keep)};
  return ToRecord(WithoutGil([&] { return self.Prune(policy, dry_run); }));
}

nb::object NextLineage(const Store& self, uint64_t step, const nb::object& from, bool is_restored,
                       bool passed_over_newer) {
  std::optional<Predecessor> predecessor;
  if (!from.is_none()) {
    predecessor = {nb::cast<uint64_t>(from.attr("step")), nb::cast<uint64_t>(from.attr("save_id")),
                   ToLineage(from.attr("lineage")).value_or(Lineage()), is_restored,
                   passed_over_newer};
  }
  return ToRecord(WithoutGil([&] { return self.NextLineage(step, predecessor); }));
}

nb::object OriginOf(const Store& self, uint64_t step, uint32_t rank, uint32_t world_size) {
  return ToRecord(WithoutGil([&] { return self.OriginOf({step, rank, world_size}); }));
}

nb::object Find(const nb::list& origins, const std::vector<bool>& is_whole) {
  std::vector<StepOrigin> steps;
  for (const nb::handle origin : origins) {
    steps.push_back({nb::cast<uint64_t>(origin.attr("step")),
                     nb::cast<uint64_t>(origin.attr("save_id")), ToLineage(origin.attr("lineage")),
                     nb::cast<std::optional<uint64_t>>(origin.attr("left_behind"))});
  }
  if (is_whole.size() != steps.size()) throw nb::value_error("one flag for each step");
  const Descent descent = FindDescent(steps, [&](size_t i) { return is_whole[i]; });
  return nb::make_tuple(descent.head, descent.is_abandoned);
}

nb::object Repair(Store& self, uint32_t min_age, bool dry_run) {
  return ToRecord(WithoutGil([&] {
    return self.Repair({std::chrono::seconds(min_age), dry_run});
  }));
}

}  // namespace

void BindStore(nb::module_& module) {
  module.def("check_rank_file", &Check, "content"_a,
             "Check all checksums of a rank file's bytes and say what it is.");
  module.def("find_descent", &Find, "origins"_a, "is_whole"_a,
             "The position of the current line's head, or None, and which steps it left behind.");
  nb::class_<Store> store(module, "Store",
                          "A directory of snapshots, one folder a step, one file a rank.");
  DefineSave<const nb::object&>(
      store, "Write one rank's part of a step and commit it, or leave the store as it was.", &Save,
      "progress"_a = nb::none());
  store
      .def("__init__", &Init, "path"_a, "create"_a = false,
           "Open the store at `path`; with `create`, make it where there is none.")
      .def_prop_ro("directory", &Store::directory)
      .def("open_step", &Open, "step"_a, "rank"_a = 0, nb::rv_policy::take_ownership,
           "Open one rank of one whole step.")
      .def("open_rank", &OpenRank, "step"_a, "rank"_a, "world_size"_a,
           nb::rv_policy::take_ownership,
           "Open one rank's file, whatever else there is of its step.")
      .def("next_lineage", &NextLineage, "step"_a, "origin"_a = nb::none(), "is_restored"_a = false,
           "passed_over_newer"_a = false, "Whose save a step is that comes after another.")
      .def("origin_of", &OriginOf, "step"_a, "rank"_a, "world_size"_a,
           "Where one rank's file comes from.")
      .def("list_ranks", &ListRanks, "unreadable"_a = nb::none(),
           "All rank files by name, oldest step first; steps that cannot be listed are appended to "
           "`unreadable`.")
      .def("files_of", &FilesOf, "step"_a, "rank"_a, "world_size"_a,
           "One rank's file and, when it is a delta, its base's.")
      .def("adopt", &Adopt, "content"_a, "base"_a = nb::none(),
           "Take in a copy of a rank file and of its base; durable when it returns.")
      .def("restore_newest", &RestoreNewest, "use"_a, "rank"_a = 0, "passed_over"_a = nb::none(),
           "Call `use` with the newest whole step that can be read and return its number.")
      .def("list", &List, "All steps, oldest first, broken ones included.")
      .def("verify", &Verify, "step"_a = nb::none(), "threads"_a = 0, "progress"_a = nb::none(),
           "Decode every block of one step, or of all, and check it.")
      .def("prune", &Prune, nb::kw_only(), "keep_last"_a = nb::none(), "keep_every"_a = nb::none(),
           "drop_optimizer_older_than"_a = nb::none(), "whole_up_to"_a = nb::none(),
           "drop_abandoned"_a = false, "passed_over"_a = nb::list(), "keep"_a = nb::list(),
           "dry_run"_a = false,
           "Remove the whole steps that no rule keeps; the newest one always stays.")
      .def("repair", &Repair, nb::kw_only(), "min_age"_a = 3600, "dry_run"_a = false,
           "Remove what can never be restored and did not change lately.");
}

}  // namespace bitsnap::python
