// The two parsers of what comes with a safetensors file, on any bytes.
#include <cstdlib>

#include "io/safetensors/layout.h"
#include "io/safetensors/shard_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitsnap;
  const Bytes file = std::as_bytes(std::span(data, size));
  if (const auto layout = ParseSafetensors(file, "fuzz")) {
    // The tensors fill the data, in order, inside the file.
    const std::byte* end = nullptr;
    for (const TensorView& tensor : layout->tensors) {
      if (end != nullptr && tensor.bytes.data() != end) std::abort();
      end = tensor.bytes.data() + tensor.bytes.size();
    }
    if (end != nullptr && end != file.data() + size) std::abort();
  }
  (void)ParseShardIndex({reinterpret_cast<const char*>(data), size});
  return 0;
}
