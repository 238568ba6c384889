#include "io/safetensors/shard_index.h"

#include "io/safetensors/json_handler.h"
#include "io/safetensors/quote.h"

namespace bitsnap {
namespace {

// What stands beside weight_map is free by the format and skipped; this is deeper than any writer
// goes.
constexpr int kMaxDepth = 16;

bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

class IndexHandler final : public JsonHandler {
 public:
  bool null() override { return Skip("null"); }
  bool boolean(bool) override { return Skip("a boolean"); }
  bool number_integer(number_integer_t) override { return Skip("a number"); }
  bool number_unsigned(number_unsigned_t) override { return Skip("a number"); }
  bool number_float(number_float_t, const string_t&) override { return Skip("a number"); }

  bool start_object(size_t) override {
    return (!in_map_ || depth_ == 1 || Unexpected("an object")) && Enter();
  }
  bool start_array(size_t) override { return Skip("an array") && Enter(); }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }

  bool key(string_t& key) override {
    if (depth_ == 1) return NameMember(key);
    if (!in_map_) return true;
    const auto [entry, fresh] = map_.try_emplace(std::move(key));
    shard_ = &entry->second;
    return fresh || Reject(fmt::format("tensor {} is there twice", Quote(entry->first)));
  }

  bool string(string_t& value) override {
    if (!in_map_ || depth_ != 2) return Skip("a string");
    if (!IsPlainFileName(value)) {
      return Reject(fmt::format("the shard {} is no plain file name", Quote(value)));
    }
    *shard_ = std::move(value);
    return true;
  }

  bool has_map() const { return has_map_; }
  WeightMap Take() { return std::move(map_); }

 private:
  bool NameMember(std::string_view name) {
    in_map_ = name == "weight_map";
    if (in_map_ && has_map_) return Reject("weight_map is there twice");
    has_map_ |= in_map_;
    return true;
  }

  bool Skip(std::string_view what) { return !in_map_ || Unexpected(what); }

  bool Enter() {
    return ++depth_ <= kMaxDepth || Reject(fmt::format("it nests deeper than {}", kMaxDepth));
  }

  bool Leave() {
    --depth_;
    return true;
  }

  std::string Where() const override { return "weight_map"; }

  int depth_ = 0;
  bool in_map_ = false;  // the last key of the document itself was weight_map
  bool has_map_ = false;
  std::string* shard_ = nullptr;  // of the last key in weight_map
  WeightMap map_;
};

}  // namespace

tl::expected<WeightMap, std::string> ParseShardIndex(std::string_view text) {
  IndexHandler handler;
  const auto parsed = ParseJsonObject(text, handler);
  if (!parsed) return tl::make_unexpected(parsed.error());
  if (!handler.has_map()) return tl::make_unexpected("it has no weight_map");
  return handler.Take();
}

}  // namespace bitsnap
