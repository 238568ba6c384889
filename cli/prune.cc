#include <memory>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/progress.h"

namespace bitsnap::cli {

namespace {

struct Args {
  std::filesystem::path store;
  RetentionPolicy policy;
  bool dry_run = false;
};

Json ToJson(const std::vector<PrunedStep>& steps) {
  Json list = Json::array();
  for (const PrunedStep& pruned : steps) {
    list.push_back({{"step", pruned.step}, {"bytes", pruned.bytes}});
  }
  return list;
}

Json ToJson(const PruneReport& report, bool dry_run) {
  Json left_alone = Json::array();
  for (const LeftAlone& left : report.left_alone) {
    left_alone.push_back({{"step", left.step}, {"why", left.why}});
  }
  return {{"dry_run", dry_run},
          {"kept", report.kept},
          {"removed", ToJson(report.removed)},
          {"optimizer_dropped", ToJson(report.thinned)},
          {"left_alone", left_alone},
          {"abandoned", report.abandoned},
          {"bytes", report.bytes}};
}

void PrintText(const PruneReport& report, bool dry_run) {
  std::vector<std::vector<std::string>> rows = {{"", "step", "gives back"}};
  const auto add = [&](const char* what, const std::vector<PrunedStep>& steps) {
    for (const PrunedStep& pruned : steps) {
      rows.push_back({what, std::to_string(pruned.step), HumanBytes(pruned.bytes)});
    }
  };
  add(dry_run ? "would remove" : "removed", report.removed);
  add(dry_run ? "would drop optimizer of" : "dropped optimizer of", report.thinned);
  if (rows.size() > 1) Print("{}", FormatTable("<>>", rows));
  for (const LeftAlone& left : report.left_alone) {
    Print("left alone: step {}: {}\n", left.step, Printable(left.why));
  }
  if (!report.abandoned.empty()) {
    Print("abandoned, and still there: {}; --abandoned removes them\n",
          fmt::join(report.abandoned, " "));
  }
  Print("{} of {} whole step(s) kept{}, {} {}given back\n", report.kept.size(),
        report.kept.size() + report.removed.size(),
        report.kept.empty() ? "" : fmt::format(": {}", fmt::join(report.kept, " ")),
        HumanBytes(report.bytes), dry_run ? "would be " : "");
}

Result<ExitCode> Prune(const Args& args, bool json) {
  Result<Store> store = Store::Open(args.store);
  if (!store) return tl::make_unexpected(store.error());
  ProgressBar bar("check what stays");
  const Result<PruneReport> report = store->Prune(args.policy, args.dry_run, bar.Callback());
  if (!report) return tl::make_unexpected(report.error());
  if (json) {
    PrintJson(ToJson(*report, args.dry_run));
  } else {
    PrintText(*report, args.dry_run);
  }
  return kDone;
}

}  // namespace

void AddPrune(CLI::App& app, Command& command) {
  const auto args = std::make_shared<Args>();
  CLI::App* prune = AddSubcommand(
      app, command, "prune", "Remove old steps; the newest whole one always stays",
      "  bitsnap prune runs/a --keep-last 5 --dry-run\n"
      "  bitsnap prune runs/a --keep-last 5 --keep-every 1000\n"
      "  bitsnap prune runs/a --keep-last 5 --keep-every 1000 --drop-optimizer-older-than 2000\n");
  prune->add_option("STORE", args->store, "Folder of the store")->required();
  AddNumber(prune, "--keep-last", &args->policy.keep_last, "Keep the newest N whole steps");
  AddNumber(prune, "--keep-every", &args->policy.keep_every, "Keep the steps that N divides");
  AddNumber(prune, "--drop-optimizer-older-than", &args->policy.drop_optimizer_older_than,
            "Keep only the weights of steps more than N training steps before the newest");
  AddNumber(prune, "--whole-up-to", &args->policy.whole_up_to,
            "Where each machine has a folder of its own: the newest step that all of them have");
  prune->add_flag("--abandoned", args->policy.drop_abandoned,
                  "Remove the steps that a newer run went back behind");
  prune->add_flag("--dry-run,-n", args->dry_run, "Only tell what would be done");
  prune->callback(
      [args, &command] { command.run = [args](bool json) { return Prune(*args, json); }; });
}

}  // namespace bitsnap::cli
