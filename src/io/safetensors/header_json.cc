#include "io/safetensors/header_json.h"

#include <set>

#include "io/safetensors/json_handler.h"
#include "io/safetensors/quote.h"

namespace bitsnap {
namespace {

enum class Field : uint8_t { kDType = 1, kShape = 2, kOffsets = 4 };
constexpr int kAllFields = 7;

class HeaderHandler final : public JsonHandler {
 public:
  bool start_object(size_t) override {
    switch (at_) {
      case At::kStart:
        at_ = At::kTop;
        return true;
      case At::kTop:
        return StartMember();
      default:
        return Unexpected("an object");
    }
  }

  bool key(string_t& key) override {
    switch (at_) {
      case At::kTop:
        return NameMember(key);
      case At::kMetadata:
        return NameMetadata(key);
      default:
        return NameField(key);
    }
  }

  bool end_object() override {
    if (at_ == At::kTensor && fields_seen_ != kAllFields) {
      return Reject(Where() + " lacks one of dtype, shape and data_offsets");
    }
    at_ = At::kTop;
    return true;
  }

  bool string(string_t& value) override {
    if (at_ == At::kMetadata) {
      *metadata_value_ = std::move(value);
      return true;
    }
    if (at_ != At::kTensor || field_ != Field::kDType) return Unexpected("a string");
    header_.entries.back().dtype = std::move(value);
    return true;
  }

  bool start_array(size_t) override {
    if (at_ != At::kTensor || field_ == Field::kDType) return Unexpected("an array");
    at_ = At::kNumbers;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (at_ != At::kNumbers) return Unexpected("a number");
    HeaderEntry& entry = header_.entries.back();
    (field_ == Field::kShape ? entry.shape : entry.offsets).push_back(value);
    return entry.offsets.size() <= 2 || Reject(Where() + " has more than two data_offsets");
  }

  bool end_array() override {
    at_ = At::kTensor;
    if (field_ != Field::kOffsets || header_.entries.back().offsets.size() == 2) return true;
    return Reject(Where() + " has fewer than two data_offsets");
  }

  HeaderJson Take() { return std::move(header_); }

 private:
  // kTop: among the document's members. kNumbers: in the array that is `field_` of a tensor.
  enum class At { kStart, kTop, kMetadata, kTensor, kNumbers };

  bool NameMember(const std::string& name) {
    member_ = name;
    return names_.insert(name).second || Reject(Where() + " is there twice");
  }

  bool StartMember() {
    at_ = member_ == kMetadataKey ? At::kMetadata : At::kTensor;
    if (at_ == At::kTensor) header_.entries.push_back({.name = member_});
    fields_seen_ = 0;
    return true;
  }

  bool NameMetadata(const std::string& name) {
    const auto [entry, fresh] = header_.metadata.try_emplace(name);
    metadata_value_ = &entry->second;
    return fresh || Reject(fmt::format("{} has the key {} twice", Where(), Quote(name)));
  }

  bool NameField(std::string_view name) {
    if (name == "dtype") {
      field_ = Field::kDType;
    } else if (name == "shape") {
      field_ = Field::kShape;
    } else if (name == "data_offsets") {
      field_ = Field::kOffsets;
    } else {
      return Reject(fmt::format("{} has the unknown key {}", Where(), Quote(name)));
    }
    const int bit = static_cast<int>(field_);
    if (fields_seen_ & bit) return Reject(fmt::format("{} has {} twice", Where(), name));
    fields_seen_ |= bit;
    return true;
  }

  std::string Where() const override {
    if (at_ == At::kStart) return "it";
    return member_ == kMetadataKey ? member_ : "tensor " + Quote(member_);
  }

  At at_ = At::kStart;
  std::string member_;                     // the last key of the document itself
  Field field_ = Field::kDType;            // the last key of the tensor
  int fields_seen_ = 0;                    // bits of Field
  std::string* metadata_value_ = nullptr;  // of the last key in __metadata__
  std::set<std::string> names_;            // of the document's members
  HeaderJson header_;
};

}  // namespace

tl::expected<HeaderJson, std::string> ParseHeaderJson(std::string_view text) {
  HeaderHandler handler;
  const auto parsed = ParseJsonObject(text, handler);
  if (!parsed) return tl::make_unexpected(parsed.error());
  return handler.Take();
}

}  // namespace bitsnap
