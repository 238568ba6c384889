"""What a torch tensor looks like in a snapshot, and its bytes."""

from __future__ import annotations

import torch

_NAMES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.complex128: "C128",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
}
# Stored as pairs of a smaller dtype: their shape gets a last dimension of 2.
_PAIRS = {torch.complex32: "F16"}
# Younger than the oldest torch that this package supports.
if hasattr(torch, "float8_e8m0fnu"):
    _NAMES[torch.float8_e8m0fnu] = "F8_E8M0"
if hasattr(torch, "float4_e2m1fn_x2"):
    _PAIRS[torch.float4_e2m1fn_x2] = "F4"


# Of which nothing but layout and dtype can keep the bytes from being all there is.
PLAIN_TYPES = {torch.Tensor, torch.nn.Parameter}


def form(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[str, tuple[int, ...]]:
    """The dtype name and shape under which a snapshot holds such a tensor."""
    if dtype in _PAIRS:
        return _PAIRS[dtype], (*shape, 2)
    return _NAMES[dtype], tuple(shape)


def form_of(tensor: torch.Tensor) -> tuple[str, tuple[int, ...]]:
    return form(tensor.shape, tensor.dtype)


def shape_from(stored_shape: tuple[int, ...], dtype: torch.dtype) -> tuple[int, ...]:
    """The inverse of form(): the shape of a tensor of `dtype` held under `stored_shape`."""
    return stored_shape[:-1] if dtype in _PAIRS else stored_shape


def require_plain(name: str, tensor: torch.Tensor) -> None:
    """TypeError for tensors whose bytes are not all there is to them."""
    reason = None
    if torch.nn.parameter.is_lazy(tensor):
        reason = "is not initialised; run a forward pass first"
    elif hasattr(tensor, "__tensor_flatten__") or hasattr(tensor, "local_shards"):
        kind = type(tensor).__name__
        reason = (
            f"is a {kind}; sharded and wrapped tensors (DTensor, FSDP, torchao) cannot be stored: "
            "pass plain tensors, e.g. tensor.full_tensor() of a DTensor"
        )
    elif tensor.is_meta:
        reason = "is on the meta device and has no data; materialise it with to_empty() first"
    elif tensor.layout != torch.strided or tensor.is_nested:
        reason = "is sparse or nested; pass its parts (e.g. indices and values) in `extra`"
    elif tensor.dtype not in _NAMES and tensor.dtype not in _PAIRS:
        reason = f"has dtype {tensor.dtype}, which BitSnap does not store; view it as another"
    if reason:
        raise TypeError(f"{name} {reason}")


def identity(tensor: torch.Tensor):
    """Equal for two tensors exactly when they are the same memory seen in the same way."""
    try:
        if tensor.numel() == 0:
            return id(tensor)
    except ValueError:  # torch's, for one that is not initialised
        return id(tensor)
    if tensor.layout != torch.strided or tensor.is_nested:
        return id(tensor)
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def is_directly_writable(tensor: torch.Tensor) -> bool:
    """Whether bytes_of() gives the memory of `tensor` itself."""
    on_cpu = tensor.device.type == "cpu" and tensor.is_contiguous()
    return on_cpu and not tensor.is_conj() and not tensor.is_neg()


def plain_of(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same content whose memory can be read as it lies: itself where possible.

    TypeError for what require_plain() refuses.
    """
    # Nearly always so, and there may be many.
    if (
        type(tensor) in PLAIN_TYPES
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.dtype in _NAMES
        and not tensor.is_nested
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and not tensor.is_conj()
    ):
        return tensor
    require_plain(name, tensor)
    return tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()


def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bytes on the CPU: its own memory where possible, else a copy."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8)
