#include "python/native/saver.h"

#include <span>

#include <bitsnap/saver.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include "python/native/errors.h"
#include "python/native/records.h"
#include "python/native/save_arguments.h"
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

void Init(Saver* self, const Store& store, uint64_t max_memory, const std::string& on_busy) {
  const SaverOptions options{.max_memory = max_memory, .on_busy = ToOnBusy(on_busy)};
  new (self) Saver(ValueOrThrow(Saver::Start(store, options)));
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

}  // namespace

void BindSaver(nb::module_& module) {
  BindTicket(module);
  nb::class_<Saver> saver(module, "Saver", "Copies states and saves the copies in the background.");
  DefineSave(saver, "Copy the tensors and queue them; they may be changed once this returns.",
             &Save);
  saver
      .def("__init__", &Init, "store"_a, "max_memory"_a = 0, "on_busy"_a = "wait",
           "Start the background thread.")
      .def(
          "wait",
          [](Saver& self) { RunStoppable([&](std::stop_token stop) { return self.Wait(stop); }); },
          "Wait until all saves are durable, or raise the first failure that nobody was told of.")
      .def(
          "close",
          [](Saver& self) { RunStoppable([&](std::stop_token stop) { return self.Close(stop); }); },
          "Finish what is queued, end the thread and give the memory back.")
      .def_prop_ro("last_durable_step", &Saver::last_durable_step);
}

}  // namespace bitsnap::python
