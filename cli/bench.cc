#include <algorithm>
#include <memory>

#include <fmt/core.h>

#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/temporary_folder.h"

namespace bitsnap::cli {

namespace {

// Of each profile's store.
constexpr uint64_t kAloneStep = 0;
constexpr uint64_t kDeltaStep = 2;
// The first file's snapshot, a delta, and the delta that replaces it, all incompressible.
constexpr uint64_t kSnapshotsAtOnce = 3;

struct Args {
  std::vector<std::filesystem::path> files;
  std::vector<Profile> profiles;
  unsigned threads = 0;
};

struct Checkpoint {
  SafetensorsFile file;
  std::vector<TensorView> tensors;  // with roles
};

Result<std::vector<Checkpoint>> OpenFiles(const Args& args) {
  std::vector<Checkpoint> checkpoints;
  for (const std::filesystem::path& path : args.files) {
    Result<SafetensorsFile> file = OpenInput(path);
    if (!file) return tl::make_unexpected(file.error());
    std::vector<TensorInfo> infos;
    for (const TensorView& tensor : file->tensors()) infos.push_back(tensor.info);
    InferRoles(infos);
    std::vector<TensorView> tensors = file->tensors();
    for (size_t i = 0; i < tensors.size(); ++i) tensors[i].info = std::move(infos[i]);
    checkpoints.push_back({*std::move(file), std::move(tensors)});
  }
  return checkpoints;
}

uint64_t RoomNeeded(const std::vector<Checkpoint>& checkpoints) {
  uint64_t largest = 0;
  for (const Checkpoint& checkpoint : checkpoints) {
    uint64_t bytes = 0;
    for (const TensorView& tensor : checkpoint.tensors) bytes += tensor.bytes.size();
    largest = std::max(largest, bytes);
  }
  return kSnapshotsAtOnce * largest;
}

Result<void> RunProfile(Profile profile, unsigned threads, std::vector<Checkpoint>& checkpoints,
                        const std::filesystem::path& folder, std::vector<BenchRow>& rows) {
  const std::filesystem::path path = folder / ProfileName(profile);
  Result<Store> store = Store::OpenOrCreate(path);
  if (!store) return tl::make_unexpected(store.error());
  for (size_t file = 0; file < checkpoints.size(); ++file) {
    ProgressBar bar(
        fmt::format("{}, file {} of {}", ProfileName(profile), file + 1, checkpoints.size()));
    TrialOptions options{profile, kAloneStep, {}, threads, bar.Callback()};
    if (file > 0) {
      options.step = kDeltaStep;
      options.base_step = kAloneStep;
    }
    Result<Trial> trial = RunTrial(*store, checkpoints[file].tensors, options);
    if (!trial) return tl::make_unexpected(trial.error());
    rows.push_back({profile, file, *std::move(trial)});
  }
  std::error_code ignored;  // its parent goes in the end in any case
  std::filesystem::remove_all(path, ignored);
  return {};
}

Result<ExitCode> Bench(const Args& args, bool json) {
  Result<std::vector<Checkpoint>> checkpoints = OpenFiles(args);
  if (!checkpoints) return tl::make_unexpected(checkpoints.error());
  const Result<TemporaryFolder> folder =
      TemporaryFolder::Create(RoomNeeded(*checkpoints), args.files[0].parent_path());
  if (!folder) return tl::make_unexpected(folder.error());

  BenchResults results{args.files, folder->path().parent_path(), {}};
  for (const Profile profile : args.profiles) {
    const Result<void> done =
        RunProfile(profile, args.threads, *checkpoints, folder->path(), results.rows);
    if (!done) return tl::make_unexpected(done.error());
  }
  if (json) {
    PrintJson(BenchJson(results));
  } else {
    PrintBench(results);
  }
  return kDone;
}

}  // namespace

void AddBench(CLI::App& app, Command& command) {
  const auto args = std::make_shared<Args>();
  CLI::App* bench = AddSubcommand(
      app, command, "bench", "Try every profile on your own checkpoints; nothing is kept",
      "  bitsnap bench step-500.safetensors\n"
      "  bitsnap bench step-500.safetensors step-510.safetensors step-600.safetensors\n"
      "  bitsnap bench a.safetensors b.safetensors --profile exact --profile fast --threads 1\n");
  bench
      ->add_option("FILES", args->files,
                   ".safetensors files or .safetensors.index.json. The first stands alone, each\n"
                   "other one leans on it. Needs memory for two copies of the largest, and room\n"
                   "on the RAM disk, or else beside the first file, for three")
      ->required();
  bench
      ->add_option_function<std::vector<std::string>>(
          "--profile",
          [args](const auto& names) {
            for (const std::string& name : names) args->profiles.push_back(*ParseProfile(name));
          },
          "Only this one; may be given many times")
      ->transform(IsProfile())
      ->type_name("NAME")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  AddNumber(bench, "--threads", &args->threads, "Default: one a core");
  bench->callback([args, &command] {
    if (args->profiles.empty()) {
      args->profiles.assign(AllProfiles().begin(), AllProfiles().end());
    }
    command.run = [args](bool json) { return Bench(*args, json); };
  });
}

}  // namespace bitsnap::cli
