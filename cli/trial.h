// One checkpoint through one profile: saved, restored, timed and compared.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <bitsnap/bitsnap.h>

#include "cli/loss.h"

namespace bitsnap::cli {

struct Speed {
  std::vector<Role> together;  // what was saved and restored, because it is coded together
  uint64_t raw_bytes = 0;
  double encode_seconds = 0;  // of Store::Save, base read and data synced to the disk included
  double decode_seconds = 0;  // of Snapshot::Read
};

struct RoleTrial {
  RoleBytes bytes;
  std::string codecs;  // that the profile chose, most used first
  Loss loss;
  Speed speed;
};

struct Trial {
  RoleBytes whole;         // the snapshot's index included
  Speed speed;             // of the whole
  double memcpy_rate = 0;  // bytes a second of one thread, in memory that no cache holds
  std::map<Role, RoleTrial> roles;
};

struct TrialOptions {
  Profile profile = Profile::kExact;
  uint64_t step = 0;                  // where the whole lies in the end; the next one serves too
  std::optional<uint64_t> base_step;  // absent: stands alone
  unsigned threads = 0;
  Progress progress;
};

// The tensors' roles must be present. Needs memory for a second copy of them. Each time is the best
// of a few.
Result<Trial> RunTrial(Store& store, std::span<const TensorView> tensors,
                       const TrialOptions& options);

}  // namespace bitsnap::cli
