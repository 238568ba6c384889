#include "python/native/saver.h"

#include <chrono>
#include <span>

#include <bitsnap/saver.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/native/buffers.h"
#include "python/native/errors.h"
#include "python/native/records.h"
#include "python/native/save_arguments.h"
#include "python/native/snapshot.h"
#include "python/native/watch.h"

namespace bitsnap::python {
namespace {

namespace nb = nanobind;
using nb::literals::operator""_a;

OnBusy ToOnBusy(const std::string& text) {
  if (text == "wait") return OnBusy::kWait;
  if (text == "skip") return OnBusy::kSkip;
  if (text == "error") return OnBusy::kError;
  Throw({ErrorKind::kInvalidArgument,
         "unknown on_busy '" + text + "'; use \"wait\", \"skip\" or \"error\""});
}

void Init(Saver* self, const Store& store, uint64_t max_memory, const std::string& on_busy,
          const std::optional<std::filesystem::path>& agent, uint32_t agent_linger, uint32_t rank,
          uint32_t world_size) {
  SaverOptions options{.max_memory = max_memory, .on_busy = ToOnBusy(on_busy)};
  if (agent) options.agent = {*agent, std::chrono::seconds(agent_linger), rank, world_size};
  auto started = [&] {
    nb::gil_scoped_release release;
    return Saver::Start(store, options);
  }();
  new (self) Saver(ValueOrThrow(std::move(started)));
}

// Runs `work` without the GIL.
template <class Work>
auto Released(Work work) {
  auto result = [&] {
    nb::gil_scoped_release release;
    return work();
  }();
  return ValueOrThrow(std::move(result));
}

SnapshotHandle* Newest(const AgentMemory& self) {
  auto newest = Released([&] { return self.Newest(); });
  return newest ? new SnapshotHandle(*std::move(newest)) : nullptr;
}

void Hold(const AgentMemory& self, const std::string& key, nb::handle buffer) {
  ReadOnlyArray content;
  if (!nb::try_cast(buffer, content, /*convert=*/false)) {
    throw nb::type_error("content must be a contiguous buffer or array in CPU memory");
  }
  const std::span bytes(static_cast<const std::byte*>(content.data()), content.nbytes());
  Released([&] { return self.Hold(key, bytes); });
}

// A read-only view of the agent's own memory, which it keeps.
nb::object Fetch(const AgentMemory& self, const std::string& key) {
  using Shared = std::shared_ptr<const std::span<const std::byte>>;
  auto held = std::make_unique<Shared>(Released([&] { return self.Fetch(key); }));
  const std::span<const std::byte> bytes = **held;
  if (bytes.empty()) return nb::steal(PyMemoryView_FromObject(nb::bytes("").ptr()));
  const nb::capsule owner(held.release(),
                          [](void* shared) noexcept { delete static_cast<Shared*>(shared); });
  nb::ndarray<const uint8_t, nb::ndim<1>, nb::memview> view(bytes.data(), {bytes.size()}, owner);
  return nb::cast(view, nb::rv_policy::reference);
}

SaveTicket Save(Saver& self, std::span<const TensorView> tensors, const SaveOptions& options) {
  return RunStoppable([&](std::stop_token stop) { return self.Save(tensors, options, stop); });
}

nb::object WaitFor(const SaveTicket& ticket) {
  return ToRecord(RunStoppable([&](std::stop_token stop) { return ticket.Wait(stop); }));
}

void BindTicket(nb::module_& module) {
  using Self = const SaveTicket&;
  nb::class_<SaveTicket>(module, "SaveTicket", "One save under way.")
      .def_prop_ro("step", &SaveTicket::step)
      .def_prop_ro("skipped", [](Self self) { return self.staging().skipped; })
      .def_prop_ro("waited_seconds", [](Self self) { return self.staging().waited_seconds; })
      .def_prop_ro("blocked_seconds", [](Self self) { return self.staging().blocked_seconds; })
      .def_prop_ro("finished", &SaveTicket::finished)
      .def_prop_ro("seconds_until_durable", &SaveTicket::seconds_until_durable)
      .def_prop_ro("progress",
                   [](Self self) {
                     const SaveProgress progress = self.progress();
                     return std::pair(progress.done, progress.total);
                   })
      .def("wait", &WaitFor, "Wait until the step is durable, or raise why it is not.");
}

void BindAgentMemory(nb::module_& module) {
  using Self = const AgentMemory&;
  nb::class_<AgentMemory>(module, "AgentMemory", "What the agent keeps for this rank and others.")
      .def("newest", &Newest, nb::rv_policy::take_ownership,
           "The newest state in the agent's memory, or None.")
      .def("hold", &Hold, "key"_a, "content"_a, "Let the agent hold a copy of bytes under a key.")
      .def(
          "held", [](Self self) { return Released([&] { return self.Held(); }); },
          "The keys of what the agent holds.")
      .def("fetch", &Fetch, "key"_a, "What the agent holds under a key, as a memoryview.")
      .def(
          "drop",
          [](Self self, const std::vector<std::string>& keys) {
            Released([&] { return self.Drop(keys); });
          },
          "keys"_a, "Let the agent drop what it holds under these keys.");
}

}  // namespace

void BindSaver(nb::module_& module) {
  BindTicket(module);
  BindAgentMemory(module);
  nb::class_<Saver> saver(module, "Saver", "Copies states and saves the copies in the background.");
  DefineSave(saver, "Copy the tensors and queue them; they may be changed once this returns.",
             &Save);
  saver
      .def("__init__", &Init, "store"_a, "max_memory"_a = 0, "on_busy"_a = "wait", nb::kw_only(),
           "agent"_a = nb::none(), "agent_linger"_a = 900, "rank"_a = 0, "world_size"_a = 1,
           "Start the background thread, or the agent.")
      .def(
          "prepare",
          [](Saver& self, uint64_t bytes) { Released([&] { return self.Prepare(bytes); }); },
          "bytes"_a, "Bring in the memory for the first copy, in the background.")
      .def(
          "wait",
          [](Saver& self) { RunStoppable([&](std::stop_token stop) { return self.Wait(stop); }); },
          "Wait until all saves are durable, or raise the first failure that nobody was told of.")
      .def(
          "close",
          [](Saver& self) { RunStoppable([&](std::stop_token stop) { return self.Close(stop); }); },
          "Finish what is queued and give the memory back; the agent forgets this rank.")
      .def(
          "leave",
          [](Saver& self) { RunStoppable([&](std::stop_token stop) { return self.Leave(stop); }); },
          "The same, but the agent keeps the newest state for a restart.")
      .def_prop_ro("agent_memory", &Saver::agent_memory,
                   "What the agent keeps beyond this process; None without an agent.")
      .def("take_warnings", &Saver::TakeWarnings,
           "What went wrong with the agent since the last call.")
      .def_prop_ro("last_durable_step", &Saver::last_durable_step);
}

}  // namespace bitsnap::python
