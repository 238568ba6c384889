#include <algorithm>
#include <chrono>
#include <memory>
#include <unordered_set>

#include <fmt/core.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/metadata.h"
#include "cli/open.h"
#include "cli/piece_reader.h"
#include "cli/progress.h"
#include "cli/similar.h"
#include "cli/target.h"

namespace bitsnap::cli {

namespace {

struct Args {
  std::filesystem::path store;
  std::filesystem::path out;
  std::vector<std::string> tensors;  // with both empty: all
  std::vector<std::string> roles;
  std::optional<uint64_t> step;
  uint32_t rank = 0;
  unsigned threads = 0;
  bool force = false;
};

struct Restored {
  uint64_t step = 0;
  uint32_t world_size = 0;
  size_t tensors = 0;
  uint64_t raw_bytes = 0;
};

bool IsWanted(const TensorInfo& info, const std::vector<std::string>& roles) {
  return std::find(roles.begin(), roles.end(), RoleName(*info.role)) != roles.end();
}

// Those of the roles, then the named ones, each once.
Result<std::vector<size_t>> Choose(const Snapshot& snapshot, const std::vector<std::string>& names,
                                   const std::vector<std::string>& roles) {
  std::vector<size_t> chosen;
  const bool all = names.empty() && roles.empty();
  for (size_t i = 0; i < snapshot.tensors().size(); ++i) {
    if (all || IsWanted(snapshot.tensors()[i].info, roles)) chosen.push_back(i);
  }
  std::unordered_set<size_t> seen(chosen.begin(), chosen.end());
  for (const std::string& name : names) {
    const std::optional<size_t> index = snapshot.Find(name);
    if (!index) {
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("step {} has no tensor {}{}", snapshot.step(), name,
                              SimilarNames(name, snapshot.tensors())));
    }
    if (seen.insert(*index).second) chosen.push_back(*index);
  }
  return chosen;
}

// Writes tensors of one snapshot to a safetensors file.
class Restorer {
 public:
  explicit Restorer(const Args& args) : args_(args) {}

  // Fails with what the snapshot did wrong. Trouble with the output must not make the store look
  // for an older step: that ends with kCancelled, the trouble itself in output_error().
  Result<void> Run(const Snapshot& snapshot) {
    const Result<std::vector<size_t>> chosen = Choose(snapshot, args_.tensors, args_.roles);
    if (!chosen) return tl::make_unexpected(chosen.error());
    restored_ = {snapshot.step(), snapshot.world_size(), chosen->size(), 0};
    std::vector<TensorInfo> infos;
    for (const size_t tensor : *chosen) {
      infos.push_back(snapshot.tensors()[tensor].info);
      restored_.raw_bytes += snapshot.tensors()[tensor].raw_bytes;
    }
    const std::optional<Metadata> metadata = UnpackMetadata(snapshot.metadata());
    if (!metadata) Note(fmt::format("step {}: its metadata is no text, left out", snapshot.step()));
    Result<SafetensorsWriter> writer =
        SafetensorsWriter::Create(args_.out, infos, metadata.value_or(Metadata()), args_.force);
    if (!writer) return OutputFailed(writer.error());

    ProgressBar bar("restore");
    const auto append = [&](std::span<const std::byte> bytes) {
      const Result<void> appended = writer->Append(bytes);
      return appended ? appended : OutputFailed(appended.error());
    };
    PieceReader reader(snapshot, args_.threads, restored_.raw_bytes, bar, append);
    for (const size_t tensor : *chosen) {
      const Result<void> added = reader.Add(tensor);
      if (!added) return added;
    }
    const Result<void> flushed = reader.Flush();
    if (!flushed) return flushed;
    const Result<void> finished = writer->Finish();
    return finished ? finished : OutputFailed(finished.error());
  }

  const Restored& restored() const { return restored_; }
  const std::optional<Error>& output_error() const { return output_error_; }

 private:
  Result<void> OutputFailed(const Error& error) {
    output_error_ = error;
    if (error.kind == ErrorKind::kAlreadyExists) {
      output_error_->message += ": give another name, or --force to replace it";
    }
    return Fail(ErrorKind::kCancelled, error.message);
  }

  const Args& args_;
  Restored restored_;
  std::optional<Error> output_error_;
};

std::string Text(const Restored& restored, const Args& args, double seconds) {
  const std::string rank =
      restored.world_size > 1 ? fmt::format(", rank {} of {}", args.rank, restored.world_size) : "";
  return fmt::format("step {}{}: {} tensors, {} -> {}, {:.1f} s", restored.step, rank,
                     restored.tensors, HumanBytes(restored.raw_bytes), args.out.string(), seconds);
}

Json ToJson(const Restored& restored, const Args& args, const std::vector<PassedOver>& passed_over,
            double seconds) {
  return {{"step", restored.step},
          {"rank", args.rank},
          {"world_size", restored.world_size},
          {"file", args.out.string()},
          {"tensors", restored.tensors},
          {"raw_bytes", restored.raw_bytes},
          {"seconds", seconds},
          {"passed_over", PassedOverJson(passed_over)}};
}

Result<ExitCode> Restore(const Args& args, bool json) {
  const auto start = std::chrono::steady_clock::now();
  const Result<Target> target = CheckTarget(args.out, args.store);
  if (!target) return tl::make_unexpected(target.error());
  if (target->is_stdout && json) {
    return Fail(ErrorKind::kInvalidArgument,
                "stdout cannot take the tensors and a JSON document: leave out --json, or write to "
                "a file");
  }
  Restorer restorer(args);
  const Result<std::vector<PassedOver>> passed_over =
      WithSnapshot(args.store, args.step, args.rank,
                   [&](const Snapshot& snapshot) { return restorer.Run(snapshot); });
  if (restorer.output_error()) return tl::make_unexpected(*restorer.output_error());
  if (!passed_over) return tl::make_unexpected(passed_over.error());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (json) {
    PrintJson(ToJson(restorer.restored(), args, *passed_over, seconds.count()));
  } else if (target->is_stdout) {
    Note(Text(restorer.restored(), args, seconds.count()));
  } else {
    Print("{}\n", Printable(Text(restorer.restored(), args, seconds.count())));
  }
  return kDone;
}

}  // namespace

void AddRestore(CLI::App& app, Command& command) {
  const auto args = std::make_shared<Args>();
  CLI::App* restore =
      AddSubcommand(app, command, "restore", "Write one step back as a safetensors file",
                    "  bitsnap restore runs/a -o model.safetensors\n"
                    "  bitsnap restore runs/a --step 500 --rank 3 -o part-3.safetensors\n"
                    "  bitsnap restore runs/a -o head.safetensors --tensor lm_head.weight\n"
                    "  bitsnap restore runs/a -o weights.safetensors --role weight\n");
  restore->add_option("STORE", args->store, "Folder of the store")->required();
  restore->add_option("-o,--output", args->out, "The file to write; a pipe or a device will do")
      ->required()
      ->type_name("OUT");
  AddNumber(restore, "--step", &args->step,
            "Default: the newest whole step; broken ones are passed over and told of");
  AddNumber(restore, "--rank", &args->rank, "Which rank's part (default 0)");
  restore->add_option("--tensor", args->tensors, "Only this one; may be given many times")
      ->type_name("NAME");
  restore
      ->add_option("--role", args->roles,
                   "Only tensors of this role; may be given many times. Weights are read and\n"
                   "decoded without the optimizer's states")
      ->check(CLI::IsMember({"weight", "master", "exp_avg", "exp_avg_sq", "other"}))
      ->type_name("ROLE");
  restore->add_flag("--force", args->force, "Replace OUT where it is a file already");
  AddNumber(restore, "--threads", &args->threads, "Default: one a core");
  restore->callback(
      [args, &command] { command.run = [args](bool json) { return Restore(*args, json); }; });
}

}  // namespace bitsnap::cli
