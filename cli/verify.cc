#include <memory>

#include <fmt/core.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/progress.h"

namespace bitsnap::cli {

namespace {

struct Args {
  std::filesystem::path store;
  std::optional<uint64_t> step;
  unsigned threads = 0;
};

void PrintText(const VerifyReport& report, const std::filesystem::path& directory) {
  if (report.files == 0 && report.broken.empty()) {
    return Print("no steps in {}: nothing to verify\n", Printable(directory.string()));
  }
  for (const PassedOver& broken : report.broken) {
    Print("step {}: {}: {}\n", broken.step, ErrorKindName(broken.error.kind),
          Printable(broken.error.message));
  }
  Print("{} files, {} decoded and compared: {}\n", report.files, HumanBytes(report.raw_bytes),
        report.broken.empty() ? "all sound" : fmt::format("{} broken", report.broken.size()));
}

Result<ExitCode> Verify(const Args& args, bool json) {
  const Result<Store> store = Store::Open(args.store);
  if (!store) return tl::make_unexpected(store.error());
  Result<VerifyReport> report;
  {
    ProgressBar bar("verify");
    report = store->Verify(args.step, args.threads, bar.Callback());
  }
  if (!report) return tl::make_unexpected(report.error());
  if (json) {
    PrintJson({{"sound", report->broken.empty()},
               {"files", report->files},
               {"raw_bytes", report->raw_bytes},
               {"broken", PassedOverJson(report->broken)}});
  } else {
    PrintText(*report, args.store);
  }
  return report->broken.empty() ? kDone : kFailedVerification;
}

}  // namespace

void AddVerify(CLI::App& app, Command& command) {
  const auto args = std::make_shared<Args>();
  CLI::App* verify =
      AddSubcommand(app, command, "verify", "Decode every block and compare it with its checksum",
                    "  bitsnap verify runs/a\n"
                    "  bitsnap verify runs/a --step 500\n");
  verify->add_option("STORE", args->store, "Folder of the store")->required();
  AddNumber(verify, "--step", &args->step, "Default: all steps");
  AddNumber(verify, "--threads", &args->threads, "Default: one a core");
  verify->callback(
      [args, &command] { command.run = [args](bool json) { return Verify(*args, json); }; });
}

}  // namespace bitsnap::cli
