// The arguments of save(), which Store and Saver take alike.
#pragma once

#include <string>
#include <utility>

#include <bitsnap/store.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include "python/native/buffers.h"
#include "python/native/options.h"

namespace bitsnap::python {

// Defines the method `save` of `bound`. It calls `save` with the object, the tensors' views, the
// options and what `More` names: arguments of its own, described by `more`.
template <class... More, class Class, class Save, class... Description>
void DefineSave(nb::class_<Class>& bound, const char* documentation, Save save,
                const Description&... more) {
  using nb::literals::operator""_a;
  bound.def(
      "save",
      [save](Class& self, const nb::object& tensors, uint64_t step, uint32_t rank,
             uint32_t world_size, uint64_t save_id, const std::string& profile, const Base& base,
             double adam_eps, unsigned threads, bool overwrite, const nb::bytes& metadata,
             const Rule& keep_last, const Rule& keep_every, const Rule& drop_optimizer_older_than,
             const Rule& whole_up_to, bool drop_abandoned, std::vector<uint64_t> passed_over,
             std::vector<uint64_t> keep, const nb::object& lineage, More... others) {
        const TensorArguments arguments(tensors);
        SaveOptions options;
        options.step = step;
        options.rank = rank;
        options.world_size = world_size;
        options.save_id = save_id;
        options.profile = ToProfile(profile);
        options.base = ToBase(base);
        options.adam_eps = adam_eps;
        options.threads = threads;
        options.overwrite = overwrite;
        options.metadata = std::string(metadata.c_str(), metadata.size());
        options.lineage = ToLineage(lineage);
        options.retention =
            ToRetention({keep_last, keep_every, drop_optimizer_older_than, whole_up_to,
                         drop_abandoned, std::move(passed_over), std::move(keep)});
        return save(self, arguments.views(), std::move(options), others...);
      },
      "tensors"_a, "step"_a, nb::kw_only(), "rank"_a = 0, "world_size"_a = 1, "save_id"_a = 0,
      "profile"_a = "exact", "base"_a = "auto", "adam_eps"_a = SaveOptions().adam_eps,
      "threads"_a = 0, "overwrite"_a = false, "metadata"_a = nb::bytes(""),
      "keep_last"_a = nb::none(), "keep_every"_a = nb::none(),
      "drop_optimizer_older_than"_a = nb::none(), "whole_up_to"_a = nb::none(),
      "drop_abandoned"_a = false, "passed_over"_a = nb::list(), "keep"_a = nb::list(),
      "lineage"_a = nb::none(), more..., documentation);
}

}  // namespace bitsnap::python
