#include "store/save_input.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include <bitsnap/roles.h>

#include "base/try.h"

namespace bitsnap {
namespace {

// Shorter than what the file format allows, so that any snapshot can be written.
constexpr size_t kMaxNameBytes = 65535;
constexpr size_t kMaxTensors = size_t{1} << 24;

Result<void> CheckTensor(const TensorView& tensor) {
  const TensorInfo& info = tensor.info;
  if (info.name.empty() || info.name.size() > kMaxNameBytes) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("a tensor's name has {} bytes; it must have 1 to {}", info.name.size(),
                            kMaxNameBytes));
  }
  const auto bytes = TensorBytes(info.dtype, info.shape);
  if (!bytes || *bytes != tensor.bytes.size()) {
    return Fail(
        ErrorKind::kInvalidArgument,
        fmt::format("tensor \"{}\": {} of shape [{}] needs {} bytes, {} were given", info.name,
                    DTypeName(info.dtype), fmt::join(info.shape, ", "),
                    bytes ? std::to_string(*bytes) : "a whole number of", tensor.bytes.size()));
  }
  return {};
}

Result<void> CheckOptions(const SaveOptions& options) {
  if (options.world_size == 0 || options.rank >= options.world_size) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("rank {} does not exist among {} rank(s); ranks count from 0",
                            options.rank, options.world_size));
  }
  return {};
}

bool NeedsBase(const TensorPlan& plan) {
  return std::any_of(plan.codecs.begin(), plan.codecs.end(),
                     [](CodecId id) { return GetCodec(id).needs_base(); });
}

using BaseTensors = std::unordered_map<std::string_view, uint32_t>;

BaseTensors ByName(const SnapshotReader* base) {
  BaseTensors by_name;
  if (base == nullptr) return by_name;
  const auto& tensors = base->index().tensors;
  for (uint32_t i = 0; i < tensors.size(); ++i) by_name.emplace(tensors[i].info.name, i);
  return by_name;
}

std::optional<uint32_t> FindInBase(const TensorView& tensor, const SnapshotReader* base,
                                   const BaseTensors& by_name) {
  const auto found = by_name.find(tensor.info.name);
  if (found == by_name.end()) return std::nullopt;
  const TensorRecord& record = base->index().tensors[found->second];
  if (record.info.dtype != tensor.info.dtype || RawBytes(record) != tensor.bytes.size()) {
    return std::nullopt;
  }
  return found->second;
}

}  // namespace

Result<SaveInput> SaveInput::Create(std::span<const TensorView> tensors,
                                    const SaveOptions& options) {
  BITSNAP_TRY(CheckOptions(options));
  if (tensors.size() > kMaxTensors) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{} tensors; one rank may save {}", tensors.size(), kMaxTensors));
  }
  SaveInput input;
  std::set<std::string_view> names;
  std::vector<EncodeTask> tasks;
  for (const TensorView& tensor : tensors) {
    BITSNAP_TRY(CheckTensor(tensor));
    if (!names.insert(tensor.info.name).second) {
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("tensor \"{}\" is there twice", tensor.info.name));
    }
    input.tensors_.push_back(tensor);
    InferRoles({&input.tensors_.back().info, 1});
    input.raw_bytes_ += tensor.bytes.size();
  }
  for (const TensorView& tensor : input.tensors_) tasks.push_back({.tensor = &tensor});
  FindRepeats(tasks);
  for (const EncodeTask& task : tasks) input.same_as_.push_back(task.same_as);
  return input;
}

std::vector<EncodeTask> SaveInput::Tasks(Profile profile, const SnapshotReader* base) const {
  const BaseTensors by_name = ByName(base);
  std::vector<EncodeTask> tasks;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    EncodeTask task{.tensor = &tensors_[i], .same_as = same_as_[i]};
    const auto in_base = FindInBase(tensors_[i], base, by_name);
    task.plan = PlanTensor(profile, tensors_[i].info, in_base.has_value());
    if (NeedsBase(task.plan)) task.base_tensor = in_base;
    tasks.push_back(std::move(task));
  }
  return tasks;
}

std::map<Role, RoleBytes> SaveInput::RoleBytesOf(std::span<const TensorRecord> records) const {
  std::map<Role, RoleBytes> roles;
  for (size_t i = 0; i < records.size(); ++i) {
    RoleBytes& role = roles[*tensors_[i].info.role];
    role.raw_bytes += tensors_[i].bytes.size();
    for (const BlockRecord& block : records[i].blocks) role.stored_bytes += block.coded_bytes;
  }
  return roles;
}

}  // namespace bitsnap
