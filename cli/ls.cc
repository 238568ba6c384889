#include <algorithm>
#include <memory>

#include <fmt/core.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/json.h"

namespace bitsnap::cli {

namespace {

// Index of the newest whole step of the current line, steps.size() when there is none.
size_t NewestWhole(const std::vector<StepInfo>& steps) {
  for (size_t i = steps.size(); i > 0; --i) {
    if (steps[i - 1].whole && !steps[i - 1].abandoned) return i - 1;
  }
  return steps.size();
}

Json ToJson(const std::vector<StepInfo>& steps) {
  Json list = Json::array();
  const size_t newest = NewestWhole(steps);
  for (size_t i = 0; i < steps.size(); ++i) {
    const StepInfo& step = steps[i];
    list.push_back({{"step", step.step},
                    {"world_size", step.world_size},
                    {"ranks", step.ranks},
                    {"whole", step.whole},
                    {"why_not", step.whole ? Json(nullptr) : Json(step.why_not)},
                    {"newest_whole", i == newest},
                    {"abandoned", step.abandoned},
                    {"stored_bytes", step.stored_bytes},
                    {"base_step", OptionalJson(step.base_step)}});
  }
  return list;
}

void PrintText(const std::vector<StepInfo>& steps, const std::filesystem::path& directory) {
  if (steps.empty()) return Print("no steps in {}\n", Printable(directory.string()));
  std::vector<std::vector<std::string>> rows = {{"", "step", "ranks", "size", "base", "state"}};
  const size_t newest = NewestWhole(steps);
  for (size_t i = 0; i < steps.size(); ++i) {
    const StepInfo& step = steps[i];
    const std::string announced = step.world_size > 0 ? std::to_string(step.world_size) : "?";
    rows.push_back({i == newest ? "*" : "", std::to_string(step.step),
                    fmt::format("{}/{}", step.ranks.size(), announced),
                    HumanBytes(step.stored_bytes),
                    step.base_step ? std::to_string(*step.base_step) : "-",
                    !step.whole      ? "broken: " + Printable(step.why_not)
                    : step.abandoned ? "abandoned"
                                     : "whole"});
  }
  Print("{}", FormatTable("<>>>><", rows));
  if (newest < steps.size()) Print("* the newest whole step\n");
  if (std::ranges::any_of(steps, &StepInfo::abandoned)) {
    Print("abandoned: a newer run went back behind it; `bitsnap prune --abandoned` removes it\n");
  }
}

Result<ExitCode> Ls(const std::filesystem::path& directory, bool json) {
  const Result<Store> store = Store::Open(directory);
  if (!store) return tl::make_unexpected(store.error());
  const Result<std::vector<StepInfo>> steps = store->List();
  if (!steps) return tl::make_unexpected(steps.error());
  if (json) {
    PrintJson(ToJson(*steps));
  } else {
    PrintText(*steps, directory);
  }
  return kDone;
}

}  // namespace

void AddLs(CLI::App& app, Command& command) {
  const auto directory = std::make_shared<std::filesystem::path>();
  CLI::App* ls = AddSubcommand(app, command, "ls", "List the steps of a store, oldest first",
                               "  bitsnap ls runs/a\n"
                               "  bitsnap ls runs/a --json | jq '.[] | select(.whole) | .step'\n");
  ls->add_option("STORE", *directory, "Folder of the store")->required();
  ls->callback([directory, &command] {
    command.run = [directory](bool json) { return Ls(*directory, json); };
  });
}

}  // namespace bitsnap::cli
