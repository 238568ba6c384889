#include <memory>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/open.h"

namespace bitsnap::cli {

namespace {

struct Args {
  std::filesystem::path store;
  std::optional<uint64_t> step;
  uint32_t rank = 0;
};

// Of the coded blocks; the index is not counted.
RoleBytes Total(const Snapshot& snapshot) {
  RoleBytes total;
  for (const StoredTensor& tensor : snapshot.tensors()) {
    total.raw_bytes += tensor.raw_bytes;
    total.stored_bytes += tensor.stored_bytes;
  }
  return total;
}

Json ErrorMetrics(const StoredTensor& tensor) {
  if (tensor.error.empty()) return nullptr;
  Json metrics = Json::object();
  for (const Metric& metric : tensor.error) metrics[metric.name] = metric.value;
  return metrics;
}

Json ToJson(const Snapshot& snapshot) {
  Json tensors = Json::array();
  for (const StoredTensor& tensor : snapshot.tensors()) {
    tensors.push_back({{"name", tensor.info.name},
                       {"dtype", DTypeName(tensor.info.dtype)},
                       {"shape", tensor.info.shape},
                       {"role", RoleName(tensor.info.role.value_or(Role::kOther))},
                       {"group", tensor.info.group},
                       {"codec", tensor.codec},
                       {"raw_bytes", tensor.raw_bytes},
                       {"stored_bytes", tensor.stored_bytes},
                       {"error", ErrorMetrics(tensor)},
                       {"why", tensor.why}});
  }
  const RoleBytes total = Total(snapshot);
  return {{"step", snapshot.step()},
          {"rank", snapshot.rank()},
          {"world_size", snapshot.world_size()},
          {"base_step", OptionalJson(snapshot.base_step())},
          {"profile", snapshot.profile()},
          {"metadata", snapshot.metadata()},
          {"raw_bytes", total.raw_bytes},
          {"stored_bytes", total.stored_bytes},
          {"tensors", std::move(tensors)}};
}

std::string ErrorText(const StoredTensor& tensor) {
  std::string text;
  for (const Metric& metric : tensor.error) {
    text += fmt::format("{}{} {:.2g}", text.empty() ? "" : ", ", metric.name, metric.value);
  }
  return text.empty() ? "none" : Printable(text);
}

std::vector<std::string> TensorRow(const StoredTensor& tensor) {
  return {Printable(tensor.info.name),
          std::string(DTypeName(tensor.info.dtype)),
          fmt::format("{}", tensor.info.shape),
          std::string(RoleName(tensor.info.role.value_or(Role::kOther))),
          tensor.codec,
          HumanBytes(tensor.raw_bytes),
          HumanBytes(tensor.stored_bytes),
          HumanRatio(tensor.raw_bytes, tensor.stored_bytes),
          ErrorText(tensor),
          Printable(tensor.why)};
}

void PrintText(const Snapshot& snapshot) {
  std::vector<std::vector<std::string>> rows = {
      {"name", "dtype", "shape", "role", "codec", "raw", "stored", "ratio", "error", "why"}};
  std::map<Role, RoleBytes> roles;
  for (const StoredTensor& tensor : snapshot.tensors()) {
    rows.push_back(TensorRow(tensor));
    RoleBytes& role = roles[tensor.info.role.value_or(Role::kOther)];
    role.raw_bytes += tensor.raw_bytes;
    role.stored_bytes += tensor.stored_bytes;
  }
  const RoleBytes total = Total(snapshot);
  const std::string base = snapshot.base_step()
                               ? fmt::format("delta of step {}", *snapshot.base_step())
                               : "stands alone";
  Print("{}\nstep {}, rank {} of {}, profile {}, {}: {} -> {} ({})\n{}",
        FormatTable("<<<<<>>><<", rows), snapshot.step(), snapshot.rank(), snapshot.world_size(),
        Printable(snapshot.profile()), base, HumanBytes(total.raw_bytes),
        HumanBytes(total.stored_bytes), HumanRatio(total.raw_bytes, total.stored_bytes),
        FormatRoles(roles));
}

Result<ExitCode> Inspect(const Args& args, bool json) {
  const auto print = [json](const Snapshot& snapshot) -> Result<void> {
    if (json) {
      PrintJson(ToJson(snapshot));
    } else {
      PrintText(snapshot);
    }
    return {};
  };
  const auto passed_over = WithSnapshot(args.store, args.step, args.rank, print);
  if (!passed_over) return tl::make_unexpected(passed_over.error());
  return kDone;
}

}  // namespace

void AddInspect(CLI::App& app, Command& command) {
  const auto args = std::make_shared<Args>();
  CLI::App* inspect =
      AddSubcommand(app, command, "inspect", "Tell how each tensor of a step is stored, and why",
                    "  bitsnap inspect runs/a\n"
                    "  bitsnap inspect runs/a --step 500 --json\n");
  inspect->add_option("STORE", args->store, "Folder of the store")->required();
  AddNumber(inspect, "--step", &args->step, "Default: the newest whole step");
  AddNumber(inspect, "--rank", &args->rank, "Which rank's part (default 0)");
  inspect->callback(
      [args, &command] { command.run = [args](bool json) { return Inspect(*args, json); }; });
}

}  // namespace bitsnap::cli
