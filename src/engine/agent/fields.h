// Reading messages field by field.
#pragma once

#include <optional>
#include <string>

#include "engine/agent/wire.h"

namespace bitsnap::agent {

// Reads an object's fields. After the first that is wrong, all are zero or empty, so that a message
// may be checked once.
class Fields {
 public:
  explicit Fields(const Json& object);

  uint64_t U64(const char* key);
  uint32_t U32(const char* key);
  double Double(const char* key);
  bool Bool(const char* key);
  std::string Text(const char* key);
  std::string Binary(const char* key);
  const Json& Array(const char* key);
  const Json& Object(const char* key);
  // nullopt where it is null.
  std::optional<uint64_t> OptionalU64(const char* key);

  // kCorrupt once anything was wrong.
  Result<void> Check() const;
  void Reject(const char* key);

 private:
  const Json& Find(const char* key, bool (Json::*is_type)() const noexcept);
  const Json* object_;
  std::string wrong_;  // the first wrong field's key
};

}  // namespace bitsnap::agent
