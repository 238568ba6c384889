// The two parsers of what comes with a safetensors file, on any bytes.
#include <cstdlib>
#include <string>

#include "io/safetensors/layout.h"
#include "io/safetensors/shard_index.h"

namespace bitsnap {
namespace {

// What is accepted must fill the data, in order and inside the file.
void ParseAsFile(Bytes file) {
  const auto layout = ParseSafetensors(file, "fuzz");
  if (!layout || layout->tensors.empty()) return;
  const std::byte* end = layout->tensors.front().bytes.data();
  for (const TensorView& tensor : layout->tensors) {
    if (tensor.bytes.data() != end) std::abort();
    end += tensor.bytes.size();
  }
  if (end != file.data() + file.size()) std::abort();
}

// Mutations seldom keep the length right that stands before the header, so it is added here.
void ParseAsHeader(std::string_view header) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), kLengthBytes);
  file += header;
  file += "12345678";
  ParseAsFile(AsBytes(file));
}

}  // namespace
}  // namespace bitsnap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  bitsnap::ParseAsFile(bitsnap::AsBytes(text));
  bitsnap::ParseAsHeader(text);
  (void)bitsnap::ParseShardIndex(text);
  return 0;
}
