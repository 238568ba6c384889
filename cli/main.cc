// The `bitsnap` command: parses the command line, runs the subcommand, turns its error into text,
// JSON and an exit code.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>
#include <string_view>
#include <system_error>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/json.h"

namespace bitsnap::cli {
namespace {

int Report(const Error& error, bool json) {
  if (json) PrintJson({{"error", ErrorJson(error)}});
  Note(error.message);
  return ExitCodeOf(error.kind);
}

// CLI11 would only say that a subcommand is required.
std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining();
  const bool no_subcommand = app.get_subcommands().empty() && !unknown.empty();
  return no_subcommand ? "no subcommand or option " + unknown.front() : error.what();
}

int RunCommand(int argc, char** argv) {
  CLI::App app("Small, fast, crash-proof checkpoints of training runs");
  app.set_version_flag("--version", "bitsnap " BITSNAP_VERSION);
  app.require_subcommand(1);
  app.footer("`bitsnap SUBCOMMAND --help` has examples and exit codes.");
  Command command;
  for (const auto add : {AddSave, AddRestore, AddLs, AddInspect, AddVerify, AddPrune, AddRepair,
                         AddBench, AddAgent}) {
    add(app, command);
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version
    const auto chosen = app.get_subcommands();
    const std::string name = chosen.empty() ? "" : " " + chosen.front()->get_name();
    // The flag itself may stand after what could not be parsed.
    const bool json =
        std::any_of(argv, argv + argc, [](std::string_view text) { return text == "--json"; });
    const std::string message = WhatIsWrong(app, error) + "; see `bitsnap" + name + " --help`";
    return Report({ErrorKind::kInvalidArgument, message}, json);
  }
  const Result<ExitCode> result = command.run(command.json);
  return result ? *result : Report(result.error(), command.json);
}

}  // namespace
}  // namespace bitsnap::cli

int main(int argc, char** argv) {
  using namespace bitsnap::cli;
  HoldStandardFiles();
  CatchSignals();
  int code;
  try {
    code = RunCommand(argc, argv);
  } catch (const std::bad_alloc&) {
    Note("there is too little memory");
    code = kIoFailure;
  } catch (const std::exception& error) {
    Note(error.what());
    code = kIoFailure;
  }
  const int failure = FinishOutput();
  if (failure == 0) return code;
  if (failure == EPIPE) return 128 + SIGPIPE;  // whoever reads has seen enough
  Note(fmt::format("cannot write to stdout: {}", std::generic_category().message(failure)));
  return kIoFailure;
}
