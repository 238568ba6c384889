"""Small, fast, crash-proof checkpoints of training runs.

`Store` is a directory of snapshots; `bitsnap.torch.Checkpointer` saves and restores PyTorch models
and optimizers in one.
"""

from bitsnap._native import PROFILES, Snapshot, Store, __version__
from bitsnap.errors import (
    AlreadyExists,
    BitSnapError,
    Busy,
    Cancelled,
    Corrupt,
    InvalidArgument,
    IoFailed,
    MissingBase,
    NewerVersion,
    NotFound,
    OutOfSpace,
    Truncated,
)
from bitsnap.records import (
    PassedOver,
    PrunedStep,
    PruneReport,
    RepairItem,
    RepairReport,
    RoleBytes,
    SaveReport,
    StepInfo,
    StoredTensor,
    Tensor,
    VerifyReport,
)

__all__ = [
    "AlreadyExists",
    "BitSnapError",
    "Busy",
    "Cancelled",
    "Corrupt",
    "InvalidArgument",
    "IoFailed",
    "MissingBase",
    "NewerVersion",
    "NotFound",
    "OutOfSpace",
    "PROFILES",
    "PassedOver",
    "PruneReport",
    "PrunedStep",
    "RepairItem",
    "RepairReport",
    "RoleBytes",
    "SaveReport",
    "Snapshot",
    "StepInfo",
    "Store",
    "StoredTensor",
    "Tensor",
    "Truncated",
    "VerifyReport",
    "__version__",
]
