"""Small, fast, crash-proof checkpoints of training runs.

`Store` is a directory of snapshots; `bitsnap.torch.Checkpointer` saves and restores PyTorch models
and optimizers in one.
"""

from bitsnap._native import PROFILES, Snapshot, Store, __version__, check_rank_file
from bitsnap.errors import (
    AlreadyExists,
    BitSnapError,
    Busy,
    Cancelled,
    Corrupt,
    DurabilityUnknown,
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
    RankOfStep,
    RepairItem,
    RepairReport,
    RoleBytes,
    SaveReport,
    StepInfo,
    StoredFile,
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
    "DurabilityUnknown",
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
    "RankOfStep",
    "RepairItem",
    "RepairReport",
    "RoleBytes",
    "SaveReport",
    "Snapshot",
    "StepInfo",
    "Store",
    "StoredFile",
    "StoredTensor",
    "Tensor",
    "Truncated",
    "VerifyReport",
    "__version__",
    "check_rank_file",
]
