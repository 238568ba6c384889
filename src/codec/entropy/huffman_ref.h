// The plain version of the streams, a bit at a time: the oracle of the tests.
#pragma once

#include <optional>
#include <vector>

#include "codec/entropy/huffman.h"

namespace bitsnap::huffman {

std::vector<std::byte> EncodeRef(const Code& code, Bytes symbols);

// As huffman::Decode.
std::optional<std::vector<std::byte>> DecodeRef(Bytes coded, size_t symbols);

}  // namespace bitsnap::huffman
