#include "store/save_input.h"

#include <unordered_set>

#include <fmt/format.h>

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

}  // namespace bitsnap
