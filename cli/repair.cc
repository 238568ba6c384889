#include <memory>

#include <fmt/core.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/json.h"

namespace bitsnap::cli {

namespace {

struct Args {
  std::filesystem::path store;
  uint64_t min_age = 3600;
  bool dry_run = false;
};

Json ToJson(const std::vector<RepairItem>& items) {
  Json list = Json::array();
  for (const RepairItem& item : items) {
    list.push_back({{"path", item.path}, {"bytes", item.bytes}, {"why", item.why}});
  }
  return list;
}

void PrintText(const RepairReport& report, bool dry_run) {
  for (const RepairItem& item : report.repaired) {
    Print("{}: {} ({}): {}\n", dry_run ? "would repair" : "repaired", Printable(item.path),
          HumanBytes(item.bytes), Printable(item.why));
  }
  for (const RepairItem& item : report.left) {
    Print("left alone: {}: {}\n", Printable(item.path), Printable(item.why));
  }
  if (report.repaired.empty() && report.left.empty()) {
    Print("nothing to repair\n");
  } else {
    Print("{} {}given back\n", HumanBytes(report.bytes), dry_run ? "would be " : "");
  }
}

Result<ExitCode> Repair(const Args& args, bool json) {
  Result<Store> store = Store::Open(args.store);
  if (!store) return tl::make_unexpected(store.error());
  const Result<RepairReport> report =
      store->Repair({std::chrono::seconds(args.min_age), args.dry_run});
  if (!report) return tl::make_unexpected(report.error());
  if (json) {
    PrintJson({{"dry_run", args.dry_run},
               {"repaired", ToJson(report->repaired)},
               {"left", ToJson(report->left)},
               {"bytes", report->bytes}});
  } else {
    PrintText(*report, args.dry_run);
  }
  return kDone;
}

}  // namespace

void AddRepair(CLI::App& app, Command& command) {
  const auto args = std::make_shared<Args>();
  CLI::App* repair = AddSubcommand(
      app, command, "repair", "Remove what can never be restored: leftovers and broken steps",
      "  bitsnap repair runs/a --dry-run\n"
      "  bitsnap repair runs/a\n"
      "  bitsnap repair runs/a --min-age 0      # when no save is running\n");
  repair->add_option("STORE", args->store, "Folder of the store")->required();
  AddNumber(repair, "--min-age", &args->min_age,
            "Leave alone what changed in the last N seconds: a save may be running.\n"
            "Default: 3600");
  repair->add_flag("--dry-run,-n", args->dry_run, "Only tell what would be done");
  repair->callback(
      [args, &command] { command.run = [args](bool json) { return Repair(*args, json); }; });
}

}  // namespace bitsnap::cli
