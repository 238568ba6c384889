// The front of a safetensors file: length and header.
#pragma once

#include <map>
#include <span>
#include <string>

#include <bitsnap/result.h>
#include <bitsnap/tensor.h>

namespace bitsnap {

struct EncodedHeader {
  std::string bytes;        // what precedes the first tensor; a multiple of 8 bytes long
  uint64_t data_bytes = 0;  // of all tensors
};

// The tensors' bytes follow in the order given. kInvalidArgument, naming the tensor, for what the
// format cannot hold.
Result<EncodedHeader> EncodeHeader(std::span<const TensorInfo> tensors,
                                   const std::map<std::string, std::string>& metadata);

}  // namespace bitsnap
