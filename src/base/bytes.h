// Cursors over little-endian bytes. The reader never reads past its end: after the first failure
// every further call fails too, so a parser may check once per structure.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitsnap {

static_assert(std::endian::native == std::endian::little, "big-endian machines are not supported");

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes AsBytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>* out) : out_(out) {}

  template <std::integral T>
  void Int(T value) {
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    out_->insert(out_->end(), p, p + sizeof(T));
  }
  void Double(double value) { Int(std::bit_cast<uint64_t>(value)); }
  void Raw(Bytes bytes) { out_->insert(out_->end(), bytes.begin(), bytes.end()); }
  // u32 length, then the bytes. Requires: fewer than 2^32 bytes.
  void String(std::string_view text) {
    Int(static_cast<uint32_t>(text.size()));
    Raw(AsBytes(text));
  }

 private:
  std::vector<std::byte>* out_;  // not owned
};

class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t remaining() const { return bytes_.size(); }

  // 0 on failure.
  template <std::integral T>
  T Int() {
    T value{};
    const Bytes raw = Raw(sizeof(T));
    if (ok_) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }
  double Double() { return std::bit_cast<double>(Int<uint64_t>()); }
  // Empty on failure.
  Bytes Raw(uint64_t size) {
    if (!ok_ || size > bytes_.size()) {
      ok_ = false;
      return {};
    }
    const Bytes result = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return result;
  }
  std::string_view String() {
    const Bytes raw = Raw(Int<uint32_t>());
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }

 private:
  Bytes bytes_;
  bool ok_ = true;
};

}  // namespace bitsnap
