#include "engine/agent/fields.h"

#include <limits>

namespace bitsnap::agent {
namespace {

const Json kNothing = Json::array();

}  // namespace

Fields::Fields(const Json& object) : object_(&object) {
  if (!object.is_object()) Reject("object");
}

void Fields::Reject(const char* key) {
  if (wrong_.empty()) wrong_ = key;
}

const Json& Fields::Find(const char* key, bool (Json::*is_type)() const noexcept) {
  if (!wrong_.empty()) return kNothing;
  const auto found = object_->find(key);
  if (found != object_->end() && ((*found).*is_type)()) return *found;
  Reject(key);
  return kNothing;
}

uint64_t Fields::U64(const char* key) {
  const Json& value = Find(key, &Json::is_number_unsigned);
  return wrong_.empty() ? value.get<uint64_t>() : 0;
}

uint32_t Fields::U32(const char* key) {
  const uint64_t value = U64(key);
  if (value <= std::numeric_limits<uint32_t>::max()) return static_cast<uint32_t>(value);
  Reject(key);
  return 0;
}

double Fields::Double(const char* key) {
  const Json& value = Find(key, &Json::is_number);
  return wrong_.empty() ? value.get<double>() : 0;
}

bool Fields::Bool(const char* key) {
  const Json& value = Find(key, &Json::is_boolean);
  return wrong_.empty() && value.get<bool>();
}

std::string Fields::Text(const char* key) {
  const Json& value = Find(key, &Json::is_string);
  return wrong_.empty() ? value.get<std::string>() : "";
}

std::string Fields::Binary(const char* key) {
  const Json& value = Find(key, &Json::is_binary);
  if (!wrong_.empty()) return "";
  const auto& bytes = value.get_binary();
  return std::string(bytes.begin(), bytes.end());
}

const Json& Fields::Array(const char* key) { return Find(key, &Json::is_array); }

const Json& Fields::Object(const char* key) { return Find(key, &Json::is_object); }

std::optional<uint64_t> Fields::OptionalU64(const char* key) {
  if (!wrong_.empty()) return std::nullopt;
  const auto found = object_->find(key);
  if (found != object_->end() && found->is_null()) return std::nullopt;
  return U64(key);
}

Result<void> Fields::Check() const {
  if (wrong_.empty()) return {};
  return Fail(ErrorKind::kCorrupt,
              "a message between agent and client has no proper \"" + wrong_ + "\"");
}

}  // namespace bitsnap::agent
