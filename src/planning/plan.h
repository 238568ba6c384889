// What a save codes with what, and which earlier snapshot it leans on.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include <bitsnap/options.h>
#include <bitsnap/result.h>
#include <bitsnap/tensor.h>

#include "snapshot/reader.h"

namespace bitsnap {

struct EncodeInput;

struct PlanOptions {
  Profile profile = Profile::kExact;
  double adam_eps = 1e-8;
  unsigned threads = 1;
};

// A snapshot that may be leaned on: CheckSource passed, it stands alone.
struct BaseCandidate {
  SnapshotReader file;
  uint64_t step = 0;
  bool asked_for = false;  // then it is the base, whether that pays or not
  // What it and the deltas that lean on it so far take on disk.
  uint64_t chain_bytes = 0, chain_snapshots = 0;
};

struct SavePlan {
  std::optional<SnapshotReader> base;  // absent: the snapshot stands alone
  uint64_t base_step = 0;
  std::string why;  // this base, or none
  std::shared_ptr<const EncodeInput> input;

  const SnapshotReader* reader() const { return base ? &*base : nullptr; }
};

// Both give the tensors the roles that they lack. The bytes must outlive the plan. Require: names
// that differ, bytes of the sizes that dtypes and shapes say.

// Leans on the candidate where that pays; where its blocks cannot be read, the plan stands alone: a
// base never costs a save.
Result<SavePlan> PlanOnBase(std::span<const TensorView> tensors, const PlanOptions& options,
                            BaseCandidate candidate);

// Without a base, for the reason that is given.
Result<SavePlan> PlanStandalone(std::span<const TensorView> tensors, const PlanOptions& options,
                                std::string why);

}  // namespace bitsnap
