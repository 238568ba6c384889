// The tensors of one save, checked and with their roles.
#pragma once

#include <map>
#include <span>
#include <vector>

#include <bitsnap/store.h>

#include "pipeline/encode.h"
#include "snapshot/reader.h"

namespace bitsnap {

// Views into the caller's tensors: must not outlive them. Immovable parts are never reallocated, so
// the tasks' pointers stay valid as long as this object.
class SaveInput {
 public:
  // kInvalidArgument for a rank outside the world, a name that is empty or there twice, or bytes
  // that are not as many as dtype and shape say.
  static Result<SaveInput> Create(std::span<const TensorView> tensors, const SaveOptions& options);

  uint64_t raw_bytes() const { return raw_bytes_; }

  // One task a tensor, in order; `base` may be null.
  std::vector<EncodeTask> Tasks(Profile profile, const SnapshotReader* base) const;

  // Raw bytes and coded bytes by role.
  std::map<Role, RoleBytes> RoleBytesOf(std::span<const TensorRecord> records) const;

 private:
  SaveInput() = default;
  std::vector<TensorView> tensors_;               // roles present
  std::vector<std::optional<uint32_t>> same_as_;  // see EncodeTask
  uint64_t raw_bytes_ = 0;
};

}  // namespace bitsnap
