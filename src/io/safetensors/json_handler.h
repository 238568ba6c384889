// Reading JSON from untrusted files event by event: duplicate keys show, nothing is built that the
// caller did not ask for, and nesting deeper than the caller expects ends the parse.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

namespace bitsnap {

// Accepts nothing; a derived class overrides the events that its grammar has.
class JsonHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return Unexpected("a negative number"); }
  bool number_unsigned(number_unsigned_t) override { return Unexpected("a number"); }
  // Whole numbers beyond 64 bits arrive here too.
  bool number_float(number_float_t, const string_t&) override {
    return Unexpected("a number that is no unsigned 64-bit integer");
  }
  bool string(string_t&) override { return Unexpected("a string"); }
  bool binary(binary_t&) override { return Unexpected("binary data"); }
  bool start_object(size_t) override { return Unexpected("an object"); }
  bool key(string_t&) override { return Unexpected("a key"); }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return Unexpected("an array"); }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception& error) override;

  const std::string& reason() const { return reason_; }

 protected:
  // Ends the parse. Returns false.
  bool Reject(std::string reason);
  bool Unexpected(std::string_view what);
  // Where in the document the parse is, for messages: "tensor \"w\"".
  virtual std::string Where() const = 0;

 private:
  std::string reason_;
};

// Feeds `text`, which must be one JSON object in UTF-8, to `handler`. On failure, the reason.
tl::expected<void, std::string> ParseJsonObject(std::string_view text, JsonHandler& handler);

}  // namespace bitsnap
