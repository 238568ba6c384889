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
  Loss LossWithin(const Accepted&) const override { return Loss::kAny; }
  bool IsLossless(Bytes) const override { return false; }
  bool is_quick() const override { return true; }
  bool Supports(DType dtype) const override { return dtype == DType::kF32; }
  size_t EncodeBound(size_t raw_bytes) const override;
  std::optional<Encoded> Encode(const BlockContext& context, const Parts& parts, size_t limit,
                                MutableBytes out, const MutableParts& decoded,
                                Scratch& scratch) const override;
  Result<void> Decode(const BlockContext& context, Bytes coded, const MutableParts& parts,
                      Scratch& scratch) const override;

 private:
  size_t clusters_;
  int label_bits_;
  std::vector<double> quantiles_;  // clusters_ - 1 of them
};

// With the default parameters.
const Codec& ClusterCodec();

}  // namespace bitsnap
