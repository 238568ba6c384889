// Blocks to try any codec on.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "codec/codec.h"

namespace bitsnap::test {

struct Block {
  std::string label;
  DType dtype;
  size_t codec_parts = 1;
  std::vector<std::byte> raw;  // all parts, one behind the other, as those of the base are
  std::optional<std::vector<std::byte>> base;
  std::vector<std::byte> base_params, base_payload;  // of a coded base; empty: none
  DType peer_dtype{};
  std::vector<std::byte> peer;  // empty: none
  std::vector<std::byte> params;

  size_t part_bytes() const { return raw.size() / codec_parts; }

  // `bytes`, as long as `raw`, one part behind the other.
  Parts Cut(Bytes bytes) const {
    Parts parts;
    for (size_t k = 0; k < codec_parts; ++k) {
      parts.push_back({dtype, bytes.subspan(k * part_bytes(), part_bytes())});
    }
    return parts;
  }
  Parts parts() const { return Cut(raw); }
  MutableParts MutableLike(MutableBytes bytes) const { return CutLike(parts(), bytes); }

  BlockContext context() const {
    BlockContext context;
    if (!base_payload.empty()) {
      context.coded_base = {CodecId::kAdam, base_params, base_payload, raw.size()};
    } else if (base) {
      context.base = BytesOf(Cut(*base));
    }
    if (!peer.empty()) context.peer = {peer_dtype, peer};
    context.params = params;
    return context;
  }
};

// Blocks of 1 to 257 words (of each part) for each dtype that the codec supports, each content and
// each way that a base can differ, and with no base where the codec can do without. For a codec
// that needs peers, with those that follow from the content and some that do not; for one that may
// lose, with much, little and nothing accepted. Blocks whose tensors the codec refuses are left
// out.
void ForEachSmallBlock(const Codec& codec, const std::function<void(const Block&)>& body);

// Blocks from 1,003 words on, of at most `most_bytes` and kBlockBytes, for each dtype that the
// codec supports.
void ForEachLargeBlock(const Codec& codec, size_t most_bytes,
                       const std::function<void(const Block&)>& body);

// The coded bytes, in a buffer of exactly their size, so that the address sanitizer sees what reads
// past the end; nullopt where Encode gives that. One thread at a time.
std::optional<std::vector<std::byte>> EncodeBlock(const Codec& codec, const Block& block,
                                                  Scratch& scratch);

}  // namespace bitsnap::test
