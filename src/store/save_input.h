// The tensors of one save, checked and with their roles, and how they are to be coded.
#pragma once

#include <map>
#include <span>
#include <vector>

#include <bitsnap/store.h>

#include "pipeline/encode.h"
#include "policy/relations.h"
#include "snapshot/reader.h"

namespace bitsnap {

// kInvalidArgument for a rank outside the world, a name that is empty or there twice, or bytes that
// are not as many as dtype and shape say.
Result<void> CheckSaveInput(std::span<const TensorView> tensors, const SaveOptions& options);

// Views into the caller's tensors, which must outlive it. Not changed after Create, so that the
// tasks' pointers stay valid as long as this object.
class SaveInput {
 public:
  // Requires: CheckSaveInput.
  static SaveInput Create(std::span<const TensorView> tensors);

  uint64_t raw_bytes() const { return raw_bytes_; }

  // One task a tensor, in order, with all codecs that its profile and `base`, which may be null,
  // allow.
  Result<std::vector<EncodeTask>> Tasks(const SaveOptions& options,
                                        const SnapshotReader* base) const;

  // Raw bytes and coded bytes by role. A pair's coded bytes are halved between the two.
  std::map<Role, RoleBytes> RoleBytesOf(std::span<const TensorRecord> records) const;

 private:
  SaveInput() = default;
  std::vector<TensorView> tensors_;               // roles present
  std::vector<Relations> relations_;              // of each
  std::vector<std::optional<uint32_t>> same_as_;  // see EncodeTask
  uint64_t raw_bytes_ = 0;
};

}  // namespace bitsnap
