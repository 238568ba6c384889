#include "store/save_input.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include <bitsnap/roles.h>

#include "base/try.h"
#include "store/pairs.h"

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

Result<void> CheckSaveInput(std::span<const TensorView> tensors, const SaveOptions& options) {
  BITSNAP_TRY(CheckOptions(options));
  if (tensors.size() > kMaxTensors) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{} tensors; one rank may save {}", tensors.size(), kMaxTensors));
  }
  std::unordered_set<std::string_view> names;
  names.reserve(tensors.size());
  for (const TensorView& tensor : tensors) {
    BITSNAP_TRY(CheckTensor(tensor));
    if (!names.insert(tensor.info.name).second) {
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("tensor \"{}\" is there twice", tensor.info.name));
    }
  }
  return {};
}

SaveInput SaveInput::Create(std::span<const TensorView> tensors) {
  SaveInput input;
  std::vector<EncodeTask> tasks;
  for (const TensorView& tensor : tensors) {
    input.tensors_.push_back(tensor);
    InferRoles({&input.tensors_.back().info, 1});
    input.raw_bytes_ += tensor.bytes.size();
  }
  for (const TensorView& tensor : input.tensors_) tasks.push_back({.tensor = &tensor});
  FindRepeats(tasks);
  for (const EncodeTask& task : tasks) input.same_as_.push_back(task.same_as);
  std::vector<const TensorInfo*> infos;
  for (const TensorView& tensor : input.tensors_) infos.push_back(&tensor.info);
  input.relations_ = FindRelations(infos);
  return input;
}

Result<std::vector<EncodeTask>> SaveInput::Tasks(const SaveOptions& options,
                                                 const SnapshotReader* base) const {
  const BaseTensors by_name = ByName(base);
  std::vector<EncodeTask> tasks;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    EncodeTask task{.tensor = &tensors_[i], .same_as = same_as_[i]};
    task.base_tensor = FindInBase(tensors_[i], base, by_name);
    const std::optional<uint32_t> weight = relations_[i].weight;
    const Leanings leanings{task.base_tensor.has_value(), weight.has_value()};
    task.plan = PlanTensor(options.profile, tensors_[i].info, leanings);
    if (Has(task.plan.codecs, CodecId::kResidual)) {
      task.peer = weight;
      const Codec& residual = GetCodec(CodecId::kResidual);
      TensorContext context = TensorContextOf(task, nullptr, options);
      context.peer = tensors_[*weight].info.dtype;
      task.params = residual.Prepare(context)->params;
    }
    tasks.push_back(std::move(task));
  }
  BITSNAP_TRY(PairMoments(relations_, options, base, tasks));
  PartFromLossy(relations_, tasks);
  for (EncodeTask& task : tasks) {
    if (!LeansOnBase(task.plan)) task.base_tensor.reset();
  }
  return tasks;
}

std::map<Role, RoleBytes> SaveInput::RoleBytesOf(std::span<const TensorRecord> records) const {
  std::map<Role, RoleBytes> roles;
  for (size_t i = 0; i < records.size(); ++i) {
    RoleBytes& role = roles[*tensors_[i].info.role];
    role.raw_bytes += tensors_[i].bytes.size();
    uint64_t coded = 0;
    for (const BlockRecord& block : records[i].blocks) coded += block.coded_bytes;
    if (records[i].second) {
      roles[*tensors_[*records[i].second].info.role].stored_bytes += coded / 2;
      coded -= coded / 2;
    }
    role.stored_bytes += coded;
  }
  return roles;
}

}  // namespace bitsnap
