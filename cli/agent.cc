#include <memory>

#include "cli/command.h"
#include "cli/format.h"

namespace bitsnap::cli {

namespace {

Result<ExitCode> Run(const std::filesystem::path& directory, bool detach) {
  const Result<void> ended = detach ? StartDetachedAgent(directory) : RunAgent(directory);
  if (!ended) return tl::make_unexpected(ended.error());
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
      "  bitsnap agent runs/a            until Ctrl-C, which finishes what is queued\n"
      "  bitsnap agent runs/a --detach   in the background, as a training starts it\n");
  agent->add_option("STORE", *directory, "Folder of the store")->required();
  agent->add_flag("--detach", *detach, "Return once it listens; it ends when it has no more to do");
  agent->callback([directory, detach, &command] {
    command.run = [directory, detach](bool) { return Run(*directory, *detach); };
  });
}

}  // namespace bitsnap::cli
