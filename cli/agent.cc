#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>

#include <fmt/core.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/json.h"

namespace bitsnap::cli {

namespace {

// A signal that came before the agent took them for itself.
void PassOnSignal() {
  if (const int number = InterruptingSignal()) kill(getpid(), number);
}

void TellListening(const std::filesystem::path& store, const std::filesystem::path& socket) {
  PrintJsonLine({{"event", "listening"},
                 {"store", store.string()},
                 {"socket", socket.string()},
                 {"process", getpid()}});
}

void TellSaved(const SaveOptions& options, const Result<SaveReport>& report) {
  Json line = {{"event", report ? "saved" : "failed"}};
  if (report) {
    line.update(SaveJson(*report, options));
  } else {
    line.update({{"step", options.step},
                 {"rank", options.rank},
                 {"world_size", options.world_size},
                 {"error", ErrorJson(report.error())}});
  }
  PrintJsonLine(line);
}

AgentEvents JsonEvents(const std::filesystem::path& store) {
  AgentEvents events;
  events.listening = [store](const auto& socket) {
    TellListening(store, socket);
    PassOnSignal();
  };
  events.saved = TellSaved;
  events.ending = [](size_t under_way) {
    PrintJsonLine({{"event", "ending"}, {"under_way", under_way}});
  };
  return events;
}

void PrintSaved(const SaveOptions& options, const Result<SaveReport>& report) {
  const std::string whose =
      fmt::format("step {}, rank {} of {}", options.step, options.rank, options.world_size);
  if (!report) return Note(fmt::format("{} is not saved: {}", whose, report.error().message));
  Print("{}: {} -> {} ({}), {:.1f} s\n", whose, HumanBytes(report->raw_bytes),
        HumanBytes(report->stored_bytes), HumanRatio(report->raw_bytes, report->stored_bytes),
        report->seconds);
  std::fflush(stdout);
}

AgentEvents TextEvents(const std::filesystem::path& store) {
  AgentEvents events;
  events.listening = [store](const auto&) {
    Note(fmt::format("the agent of {} listens; Ctrl-C ends it", store.string()));
    PassOnSignal();
  };
  events.saved = PrintSaved;
  events.ending = [](size_t under_way) {
    if (under_way == 0) return;
    Note(fmt::format("finishing {} save(s) that were handed over; Ctrl-C again gives them up",
                     under_way));
  };
  return events;
}

Result<ExitCode> RunInForeground(const std::filesystem::path& directory, bool json) {
  const Result<void> ended =
      RunAgent(directory, json ? JsonEvents(directory) : TextEvents(directory));
  if (!ended) return tl::make_unexpected(ended.error());
  if (json) {
    PrintJsonLine({{"event", "ended"}});
  } else {
    Note("the agent has ended; nothing that was handed over is left to do");
  }
  return kDone;
}

Result<ExitCode> Detach(const std::filesystem::path& directory) {
  const Result<void> started = StartDetachedAgent(directory);
  if (!started) return tl::make_unexpected(started.error());
  return kDone;
}

}  // namespace

void AddAgent(CLI::App& app, Command& command) {
  const auto directory = std::make_shared<std::filesystem::path>();
  const auto detach = std::make_shared<bool>(false);
  CLI::App* agent = AddSubcommand(
      app, command, "agent",
      "Hold the states of a training in memory and save them, whatever becomes of it;\n"
      "Checkpointer(engine=\"agent\") starts one by itself",
      "  bitsnap agent runs/a            until Ctrl-C, which finishes what was handed over\n"
      "  bitsnap agent runs/a --detach   in the background, as a training starts it\n");
  agent->add_option("STORE", *directory, "Folder of the store")->required();
  agent->add_flag("--detach", *detach, "Return once it listens; it ends when it has no more to do");
  agent->callback([directory, detach, &command] {
    command.run = [directory, detach](bool json) {
      return *detach ? Detach(*directory) : RunInForeground(*directory, json);
    };
  });
}

}  // namespace bitsnap::cli
