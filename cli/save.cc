#include <memory>

#include <fmt/core.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/json.h"
#include "cli/metadata.h"
#include "cli/progress.h"

namespace bitsnap::cli {

namespace {

struct Args {
  std::filesystem::path store;
  std::filesystem::path file;
  SaveOptions options;
};

BaseChoice ParseBase(const std::string& text) {
  if (text == "auto") return {BaseChoice::Kind::kAuto, 0};
  if (text == "none") return {BaseChoice::Kind::kNone, 0};
  return {BaseChoice::Kind::kStep, ParseNumber<uint64_t>("--base (auto, none or a step)", text)};
}

void PrintText(const SaveReport& report) {
  const std::string base =
      report.base_step ? fmt::format("delta of step {}", *report.base_step) : "stands alone";
  Print("step {}: {} -> {} ({}), {}: {}, {:.1f} s\n{}", report.step, HumanBytes(report.raw_bytes),
        HumanBytes(report.stored_bytes), HumanRatio(report.raw_bytes, report.stored_bytes), base,
        report.base_reason, report.seconds, FormatRoles(report.roles));
}

Result<ExitCode> Save(Args args, bool json) {
  // First, so that a bad file does not leave an empty store behind.
  const Result<SafetensorsFile> file = OpenInput(args.file);
  if (!file) return tl::make_unexpected(file.error());
  Result<Store> store = Store::OpenOrCreate(args.store);
  if (!store) return tl::make_unexpected(store.error());

  args.options.metadata = PackMetadata(file->metadata());
  Result<SaveReport> report;
  {
    ProgressBar bar("save");
    args.options.progress = bar.Callback();
    report = store->Save(file->tensors(), args.options);
  }
  if (!report) return tl::make_unexpected(report.error());
  if (json) {
    PrintJson(SaveJson(*report, args.options));
  } else {
    PrintText(*report);
  }
  return kDone;
}

}  // namespace

void AddSave(CLI::App& app, Command& command) {
  const auto args = std::make_shared<Args>();
  SaveOptions& options = args->options;
  CLI::App* save = AddSubcommand(
      app, command, "save", "Store the tensors of a safetensors file as one step",
      "  bitsnap save runs/a model.safetensors --step 500\n"
      "  bitsnap save runs/a model.safetensors.index.json --step 510 --profile fast\n"
      "  bitsnap save runs/a part-3.safetensors --step 500 --rank 3 --world-size 8\n");
  save->add_option("STORE", args->store, "Folder of the store; made when absent")->required();
  save->add_option("FILE", args->file, "A .safetensors file or .safetensors.index.json")
      ->required();
  AddNumber(save, "--step", &options.step, "The training step that this state belongs to")
      ->required();
  save->add_option_function<std::string>(
          "--profile", [&options](const auto& name) { options.profile = *ParseProfile(name); },
          "exact (default): all bits back, smallest\n"
          "fast: all bits back, at memory speed\n"
          "high, balanced, compact, tiny: weights exact, Adam's update within 0.25 %, 1.2 %, 5 %,\n"
          "35 %, masters to 8, 8, 5, 2 bits beyond their weights\n"
          "paper: as published: packed bitmask; fp32 optimizer states lossy, by clusters")
      ->transform(IsProfile())
      ->type_name("NAME");
  save->add_option_function<std::string>(
          "--base", [&options](const auto& text) { options.base = ParseBase(text); },
          "auto (default): lean on the newest base where that is 5 % smaller\n"
          "none: stand alone\n"
          "a step: lean on that one")
      ->type_name("BASE");
  AddNumber(save, "--rank", &options.rank, "Which rank's part this is (default 0)");
  AddNumber(save, "--world-size", &options.world_size, "How many ranks save (default 1)");
  AddNumber(save, "--save-id", &options.save_id,
            "With --overwrite on many ranks: a new number, the same on all of them, so that\n"
            "a half-overwritten step is never taken for whole (default 0)");
  save->add_option("--adam-eps", options.adam_eps,
                   "What the optimizer's update divides with beside sqrt(v) (default 1e-8)")
      ->check(CLI::PositiveNumber)
      ->type_name("X");
  AddNumber(save, "--threads", &options.threads, "Default: one a core");
  save->add_flag("--overwrite", options.overwrite, "Replace this rank's part of an existing step");
  save->callback(
      [args, &command] { command.run = [args](bool json) { return Save(*args, json); }; });
}

}  // namespace bitsnap::cli
