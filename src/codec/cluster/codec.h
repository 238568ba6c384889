#pragma once

#include <vector>

#include "codec/codec.h"

namespace bitsnap {

// BitSnap's cluster quantization as reconstructed (spec.md): lossy, F32 only, 12 bits an element
// with the default parameters. Non-finite values come back bit by bit.
class Cluster final : public Codec {
 public:
  // The parameters steer the encoder alone: the decoder reads them from the payload.
  // Requires: 1 <= label_bits <= 8, 1 <= clusters <= 2^label_bits.
  explicit Cluster(size_t clusters = 16, int label_bits = 4);

  CodecId id() const override { return CodecId::kCluster; }
  std::string_view name() const override { return "cluster"; }
  bool IsLossless(Bytes) const override { return false; }
  bool Supports(DType dtype) const override { return dtype == DType::kF32; }
  size_t EncodeBound(size_t raw_bytes) const override;
  std::optional<size_t> Encode(const BlockContext& context, Bytes raw, size_t limit,
                               MutableBytes out, Scratch& scratch) const override;
  Result<void> Decode(const BlockContext& context, Bytes coded, MutableBytes out,
                      Scratch& scratch) const override;

 private:
  size_t clusters_;
  int label_bits_;
  std::vector<double> quantiles_;  // clusters_ - 1 of them
};

// With the default parameters.
const Codec& ClusterCodec();

}  // namespace bitsnap
