#include "io/safetensors/layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "io/safetensors/header_json.h"
#include "io/safetensors/quote.h"

namespace bitsnap {
namespace {

// The two parts of a file.
struct Parts {
  std::string_view header;
  Bytes data;
};

// All failures of one file.
class Checker {
 public:
  explicit Checker(const std::filesystem::path& path) : path_(path.string()) {}

  Result<Parts> Split(Bytes file) const {
    ByteReader reader(file);
    const auto length = reader.Int<uint64_t>();
    if (!reader.ok()) {
      return Wrong(ErrorKind::kTruncated, fmt::format("it has only {} bytes", file.size()));
    }
    if (length > kMaxHeaderBytes) {
      return Wrong(ErrorKind::kCorrupt,
                   fmt::format("its header claims {} bytes, more than the format's limit of {}",
                               length, kMaxHeaderBytes));
    }
    const Bytes header = reader.Raw(length);
    if (!reader.ok()) {
      return Wrong(ErrorKind::kTruncated,
                   fmt::format("its header claims {} bytes, but the file has {} in all", length,
                               file.size()));
    }
    return Parts{{reinterpret_cast<const char*>(header.data()), header.size()},
                 file.subspan(kLengthBytes + length)};
  }

  Result<HeaderJson> Header(std::string_view text) const {
    auto header = ParseHeaderJson(text);
    if (!header) return Wrong(ErrorKind::kCorrupt, "in its header, " + header.error());
    return *std::move(header);
  }

  // `begin` is where the tensor must start to follow the one before.
  Result<TensorView> Tensor(HeaderEntry entry, uint64_t begin, Bytes data) const {
    const auto wrong = [&](ErrorKind kind, std::string_view what) {
      return Wrong(kind, fmt::format("tensor {} {}", Quote(entry.name), what));
    };
    const std::optional<DType> dtype = ParseDType(entry.dtype);
    if (!dtype || dtype == DType::kC128) {
      return wrong(ErrorKind::kCorrupt, "has the unknown dtype " + Quote(entry.dtype));
    }
    const auto [first, last] = std::pair(entry.offsets[0], entry.offsets[1]);
    if (first != begin || last < first) {
      return wrong(ErrorKind::kCorrupt,
                   fmt::format("has the data_offsets {} and {}, but must start at {}: the file has "
                               "a hole or an overlap",
                               first, last, begin));
    }
    if (TensorBytes(*dtype, entry.shape) != last - first) {
      return wrong(ErrorKind::kCorrupt,
                   fmt::format("has a shape and dtype that do not take the {} bytes it is given",
                               last - first));
    }
    if (last > data.size()) {
      return wrong(
          ErrorKind::kTruncated,
          fmt::format("ends at byte {} of the data, of which there are {}", last, data.size()));
    }
    return TensorView{
        {.name = std::move(entry.name), .dtype = *dtype, .shape = std::move(entry.shape)},
        data.subspan(first, last - first)};
  }

  tl::unexpected<Error> Wrong(ErrorKind kind, std::string_view what) const {
    if (kind == ErrorKind::kTruncated) {
      return Fail(
          kind, fmt::format("{} is a truncated safetensors file: {}; get a whole copy of it", path_,
                            what));
    }
    return Fail(kind,
                fmt::format("{} is not a valid safetensors file: {}; write it anew", path_, what));
  }

 private:
  std::string path_;
};

}  // namespace

Result<SafetensorsLayout> ParseSafetensors(Bytes file, const std::filesystem::path& path) {
  const Checker check(path);
  BITSNAP_ASSIGN(const Parts parts, check.Split(file));
  BITSNAP_ASSIGN(HeaderJson header, check.Header(parts.header));
  // Stable, and by the end as well: empty tensors come before the one that starts where they are.
  std::ranges::stable_sort(header.entries, {}, &HeaderEntry::offsets);

  SafetensorsLayout layout{.tensors = {}, .metadata = std::move(header.metadata)};
  layout.tensors.reserve(header.entries.size());
  uint64_t end = 0;
  for (HeaderEntry& entry : header.entries) {
    BITSNAP_ASSIGN(TensorView tensor, check.Tensor(std::move(entry), end, parts.data));
    end += tensor.bytes.size();
    layout.tensors.push_back(std::move(tensor));
  }
  if (end != parts.data.size()) {
    return check.Wrong(ErrorKind::kCorrupt, fmt::format("it has {} bytes after its last tensor",
                                                        parts.data.size() - end));
  }
  return layout;
}

}  // namespace bitsnap
