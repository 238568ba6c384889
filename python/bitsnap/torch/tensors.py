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


_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


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


def dtype_stored_as(name: str) -> torch.dtype | None:
    """The dtype that form() names so; pairs are taken for what they are pairs of."""
    return _DTYPES.get(name)


# What torch itself notes on tensors of subclasses.
_MARKS = {"_is_param", "_is_buffer", "persistent"}

# Where tensors are views of plain memory; elsewhere (XLA, lazy tensors) only torch knows.
_ADDRESSED = ("cpu", "cuda", "xpu", "mps")


def require_plain(name: str, tensor: torch.Tensor) -> None:
    """TypeError for tensors whose bytes are not all there is to them, or are not there."""
    reason = _more_than_bytes(tensor) or _less_than_bytes(tensor)
    if reason:
        raise TypeError(f"{name} {reason}")


def _more_than_bytes(tensor: torch.Tensor) -> str | None:
    kind = type(tensor)
    if torch.nn.parameter.is_lazy(tensor):
        return "is not initialised; run a forward pass first"
    if hasattr(tensor, "__tensor_flatten__") or hasattr(tensor, "local_shards"):
        return (
            f"is a {kind.__name__}; sharded and wrapped tensors (DTensor, FSDP, torchao) cannot be "
            "stored: pass plain tensors, e.g. tensor.full_tensor() of a DTensor"
        )
    if tensor.layout != torch.strided or tensor.is_nested:
        return "is sparse or nested; pass its parts (e.g. indices and values) in `extra`"
    if kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return (
            f"is a {kind.__name__}, which is more than its bytes or has none; pass the plain "
            "tensors that it is made of"
        )
    if tensor.is_meta:
        return "is on the meta device and has no data; materialise it with to_empty() first"
    if tensor.dtype not in _NAMES and tensor.dtype not in _PAIRS:
        return f"has dtype {tensor.dtype}, which BitSnap does not store; view it as another"
    if kind not in PLAIN_TYPES:
        own = sorted((vars(tensor).keys() - _MARKS) | _slots(kind))
        if own:
            return (
                f"is a {kind.__name__} that keeps {', '.join(own)} besides its bytes; pass "
                "tensor.as_subclass(torch.Tensor) and each of these under a name of its own"
            )
    return None


def _slots(kind: type) -> set[str]:
    return {name for base in kind.__mro__ for name in vars(base).get("__slots__", ())}


def _less_than_bytes(tensor: torch.Tensor) -> str | None:
    """Reading past a storage's end kills the process, or takes foreign memory for values."""
    if tensor.device.type not in _ADDRESSED:
        return None
    try:
        there = tensor.untyped_storage().nbytes()
        is_null = tensor.data_ptr() == 0
    except (RuntimeError, NotImplementedError):
        return "has no memory of its own; call this outside of torch.func transforms such as vmap"
    if tensor.numel() == 0:
        return None
    wanted = tensor.storage_offset() * tensor.element_size() + extent(tensor)
    if wanted > there:
        return (
            f"needs a storage of {wanted} bytes, and its storage has {there}: it was freed or "
            "shrunk (as FSDP and off-loading do); bring it back first"
        )
    if is_null:
        return "has no memory (it is a functional or a zero tensor); pass tensor.clone()"
    return None


def extent(tensor: torch.Tensor) -> int:
    """Bytes from its first element to the end of its last; it must have elements."""
    if tensor.is_contiguous():
        return tensor.numel() * tensor.element_size()
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
    return (last + 1) * tensor.element_size()


def memory_of(tensor: torch.Tensor) -> tuple[torch.device, int, int] | None:
    """The device and the addresses from its first byte to behind its last; None without any."""
    if torch.nn.parameter.is_lazy(tensor) or tensor.layout != torch.strided or tensor.is_nested:
        return None
    if tensor.device.type not in _ADDRESSED or tensor.numel() == 0:
        return None
    first = tensor.data_ptr()
    return tensor.device, first, first + extent(tensor)


def identity(tensor: torch.Tensor):
    """Equal for two tensors exactly when they are the same memory seen in the same way."""
    if memory_of(tensor) is None:
        return id(tensor)
    seen_as = tensor.dtype, tensor.shape, tensor.stride(), tensor.is_conj(), tensor.is_neg()
    return tensor.device, tensor.data_ptr(), *seen_as


def require_real_tensors() -> None:
    """TypeError where torch pretends: whatever is made or touched then holds no values."""
    new_tensor((0,), torch.uint8)


def new_tensor(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Uninitialised, and ordinary whatever torch modes are on: a default device, inference, …"""
    with torch.inference_mode(False):
        tensor = torch.empty(shape, dtype=dtype, device=device)
    if type(tensor) is not torch.Tensor:
        raise TypeError(
            f"new tensors are of the kind {type(tensor).__name__} here, and hold no values; call "
            "this outside of FakeTensorMode and the like"
        )
    return tensor


def is_like(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype


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
        and _has_its_bytes(tensor)
    ):
        return tensor
    require_plain(name, tensor)
    return tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()


def _has_its_bytes(tensor: torch.Tensor) -> bool:
    """As _less_than_bytes(), of a contiguous tensor on the CPU."""
    try:
        there = tensor.untyped_storage().nbytes()
        wanted = (tensor.storage_offset() + tensor.numel()) * tensor.itemsize
        return wanted <= there and (tensor.data_ptr() != 0 or wanted == 0)
    except (RuntimeError, NotImplementedError):
        return False


def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bytes on the CPU: its own memory where possible, else a copy."""
    plain = tensor.detach()
    if not is_directly_writable(tensor):
        plain = plain.resolve_conj().resolve_neg().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8)
