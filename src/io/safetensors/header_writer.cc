#include "io/safetensors/header_writer.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/try.h"
#include "io/safetensors/header_json.h"
#include "io/safetensors/layout.h"
#include "io/safetensors/quote.h"

namespace bitsnap {
namespace {

// `text` as a JSON string.
Result<std::string> JsonString(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {  // its only way to say so
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{} is not valid UTF-8, as safetensors needs it", Quote(text)));
  }
}

Result<std::string> MetadataMember(const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> members;
  for (const auto& [key, value] : metadata) {
    BITSNAP_ASSIGN(std::string json_key, JsonString(key));
    BITSNAP_ASSIGN(std::string json_value, JsonString(value));
    members.push_back(json_key + ":" + json_value);
  }
  return fmt::format("\"{}\":{{{}}}", kMetadataKey, fmt::join(members, ","));
}

// Where the tensor that starts at `begin` ends.
Result<uint64_t> EndOf(const TensorInfo& tensor, uint64_t begin) {
  const auto wrong = [&](std::string_view what) {
    return Fail(
        ErrorKind::kInvalidArgument,
        fmt::format("tensor {} cannot be stored as safetensors: {}", Quote(tensor.name), what));
  };
  if (tensor.name == kMetadataKey) return wrong("the name is reserved");
  if (tensor.dtype == DType::kC128) return wrong("the format has no C128");
  const std::optional<uint64_t> bytes = TensorBytes(tensor.dtype, tensor.shape);
  if (!bytes) return wrong("its shape does not make a whole number of bytes below 2^64");
  const std::optional<uint64_t> end = CheckedAdd(begin, *bytes);
  if (!end) return wrong("all tensors together exceed 2^64 bytes");
  return *end;
}

Result<std::string> TensorMember(const TensorInfo& tensor, uint64_t begin, uint64_t end) {
  BITSNAP_ASSIGN(const std::string name, JsonString(tensor.name));
  return fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", name,
                     DTypeName(tensor.dtype), fmt::join(tensor.shape, ","), begin, end);
}

// Length, header and the spaces that align the data to 8 bytes.
Result<std::string> Frame(std::string header) {
  header.resize(CeilDiv(header.size(), kLengthBytes) * kLengthBytes, ' ');
  if (header.size() > kMaxHeaderBytes) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("the names and metadata take {} bytes, safetensors allows {}",
                            header.size(), kMaxHeaderBytes));
  }
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), kLengthBytes) + header;
}

}  // namespace

Result<EncodedHeader> EncodeHeader(std::span<const TensorInfo> tensors,
                                   const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> members;
  if (!metadata.empty()) {
    BITSNAP_ASSIGN(std::string member, MetadataMember(metadata));
    members.push_back(std::move(member));
  }
  std::set<std::string_view> names;
  uint64_t end = 0;
  for (const TensorInfo& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("two tensors are named {}", Quote(tensor.name)));
    }
    const uint64_t begin = end;
    BITSNAP_ASSIGN(end, EndOf(tensor, begin));
    BITSNAP_ASSIGN(std::string member, TensorMember(tensor, begin, end));
    members.push_back(std::move(member));
  }
  BITSNAP_ASSIGN(std::string bytes, Frame(fmt::format("{{{}}}", fmt::join(members, ","))));
  return EncodedHeader{std::move(bytes), end};
}

}  // namespace bitsnap
