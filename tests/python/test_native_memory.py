"""What the native module is handed is not believed: lengths, forms, memory that is gone or shared."""

import numpy as np
import pytest
import torch

from bitsnap import Store, Tensor


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store", create=True)
    ones = np.ones(4, np.float32)
    made.save([Tensor("a", "F32", (4,), ones), Tensor("b", "F32", (4,), 2 * ones)], step=1)
    return made


def with_storage_of(tensor, size):
    tensor.untyped_storage().resize_(size)
    return tensor


TORCH = {
    "freed": (lambda: with_storage_of(torch.ones(4), 0), "storage was shrunk to 0"),
    "shrunk": (lambda: with_storage_of(torch.ones(4), 8), "needs 16 bytes .* shrunk to 8"),
    "view": (lambda: with_storage_of(torch.ones(8)[4:], 16), "shrunk to 16"),
    "neg": (lambda: torch.zeros(4, dtype=torch.complex64).conj().imag[:1], "resolve_neg"),
    "expanded": (lambda: torch.ones(1).expand(4), "contiguous"),
    "strided": (lambda: torch.ones(8)[::2], "contiguous"),
    "zero": (lambda: torch._efficientzerotensor((4,)), "tensor 'a'"),
}


@pytest.mark.parametrize("kind", TORCH)
def test_torch_tensors_without_their_memory_are_refused(store, kind):
    make, message = TORCH[kind]
    tensor = make()
    with pytest.raises(TypeError, match=message):
        store.save([Tensor("a", "F32", tuple(tensor.shape), tensor)], step=2)
    with pytest.raises(TypeError, match=message):
        store.open_step(1).read_into([("a", tensor)])
    assert [step.step for step in store.list()] == [1]


def test_conjugated_views_are_refused(store):
    tensor = torch.complex(torch.ones(2), torch.ones(2)).conj()
    with pytest.raises(TypeError, match="resolve_conj"):
        store.save([Tensor("a", "C64", (2,), tensor)], step=2)


@pytest.mark.parametrize("first, second", [((0, 4), (0, 4)), ((0, 4), (3, 7)), ((1, 5), (0, 4))])
def test_buffers_that_overlap_are_refused(store, first, second):
    out = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match="buffers for tensors '[ab]' and '[ab]' overlap"):
        store.open_step(1).read_into([("a", out[slice(*first)]), ("b", out[slice(*second)])])
    assert not out.any()


def test_buffers_that_touch_and_empty_ones_are_no_overlap(store):
    out = np.zeros(8, np.float32)
    nothing = out[2:2]
    store.open_step(1).read_into([("a", out[:4]), ("b", out[4:]), ("a", nothing)])
    assert out.tolist() == [1] * 4 + [2] * 4


@pytest.mark.parametrize(
    "request_",
    ["a", ("a",), ("a", bytearray(16), 0, 1), ("a", bytearray(16), -1), ("a", bytearray(16), "0"),
     (1, bytearray(16)), None],
    ids=str,
)  # fmt: skip
def test_requests_of_another_form_are_a_type_error(store, request_):
    with pytest.raises(TypeError, match="a request is .name, buffer. or"):
        store.open_step(1).read_into([request_])


def test_more_than_there_is_cannot_be_read(store):
    for request in [("a", bytearray(17)), ("a", bytearray(16), 1), ("a", bytearray(8), 2**64 - 4)]:
        with pytest.raises(ValueError, match='tensor "a" were asked for, it has 16'):
            store.open_step(1).read_into([request])


@pytest.mark.parametrize(
    "tensor, message",
    [
        (Tensor(1, "F32", (4,), bytes(16)), "a tensor's name must be text"),
        (Tensor("t", 32, (4,), bytes(16)), "tensor 't': its dtype"),
        (Tensor("t", "F32", (-4,), bytes(16)), "tensor 't': its shape"),
        (Tensor("t", "F32", 4, bytes(16)), "tensor 't': its shape"),
        (Tensor("t", "F32", (4,), bytes(16), role=1), "tensor 't': its role"),
        (Tensor("t", "F32", (4,), bytes(16), group=None), "tensor 't': its group"),
        (Tensor("t", "F32", (4,), None), "tensor 't': its data"),
    ],
)
def test_tensors_of_another_form_are_a_type_error(store, tensor, message):
    with pytest.raises(TypeError, match=message):
        store.save([tensor], step=2)


def test_lengths_that_do_not_fit_the_shape_are_refused(store):
    for shape in [(3,), (5,), (2**62, 8), (2**63, 2, 0, 2**63, 1, 4)]:
        with pytest.raises(ValueError, match='tensor "t"'):
            store.save([Tensor("t", "F32", shape, bytes(16))], step=2)
