#include "engine/agent/manifest_bytes.h"

#include <optional>
#include <utility>

#include "base/try.h"

namespace bitsnap::agent {
namespace {

constexpr uint8_t kNoRole = 0xff;

void Append(const PlacedTensor& tensor, ByteWriter& to) {
  const TensorInfo& info = tensor.info;
  to.String(info.name);
  to.Int(static_cast<uint8_t>(info.dtype));
  to.Int(info.role ? static_cast<uint8_t>(*info.role) : kNoRole);
  to.String(info.group);
  to.Int(static_cast<uint32_t>(info.shape.size()));
  for (const uint64_t size : info.shape) to.Int(size);
  to.Int(tensor.offset);
  to.Int(tensor.bytes);
}

// nullopt where there is none.
std::optional<PlacedTensor> Next(ByteReader& from) {
  PlacedTensor tensor;
  TensorInfo& info = tensor.info;
  info.name = from.String();
  const auto dtype = DTypeFromCode(from.Int<uint8_t>());
  const auto role = from.Int<uint8_t>();
  info.group = from.String();
  for (auto left = from.Int<uint32_t>(); left > 0 && from.ok(); --left) {
    info.shape.push_back(from.Int<uint64_t>());
  }
  tensor.offset = from.Int<uint64_t>();
  tensor.bytes = from.Int<uint64_t>();
  if (role != kNoRole) info.role = RoleFromCode(role);
  if (!from.ok() || !dtype || (role != kNoRole && !info.role)) return std::nullopt;
  info.dtype = *dtype;
  return tensor;
}

}  // namespace

std::vector<uint8_t> ToBytes(const std::vector<PlacedTensor>& tensors) {
  std::vector<std::byte> bytes;
  ByteWriter writer(&bytes);
  for (const PlacedTensor& tensor : tensors) Append(tensor, writer);
  const auto* first = reinterpret_cast<const uint8_t*>(bytes.data());
  return {first, first + bytes.size()};
}

Result<std::vector<PlacedTensor>> ToTensors(Bytes bytes) {
  std::vector<PlacedTensor> tensors;
  for (ByteReader reader(bytes); reader.remaining() > 0;) {
    std::optional<PlacedTensor> tensor = Next(reader);
    if (!tensor) return Fail(ErrorKind::kCorrupt, "a message has what is no tensor");
    tensors.push_back(*std::move(tensor));
  }
  return tensors;
}

}  // namespace bitsnap::agent
