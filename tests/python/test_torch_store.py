"""What a Checkpointer does with its store: fall back, refuse, replace."""

import json

import pytest
import torch
from torch_training import make_model, model_bits

import bitsnap
from bitsnap.torch import Checkpointer


def rank_file(root, step, rank=0, world_size=1):
    return root / f"step-{step:08}" / f"rank-{rank:05}-of-{world_size:05}.bsnap"


def flip_a_byte(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x40
    path.write_bytes(content)


@pytest.fixture
def two_steps(tmp_path):
    ckpt = Checkpointer(tmp_path)
    for step in (10, 20):
        ckpt.save(step, model=make_model(step), extra=step)
    return tmp_path


def test_nothing_saved(tmp_path):
    model = make_model(1)
    assert Checkpointer(tmp_path / "new" / "store").restore(model=model) is None
    assert model_bits(model) == model_bits(make_model(1))


def test_newest_or_any_step(two_steps):
    ckpt = Checkpointer(two_steps)
    model = make_model(1)
    assert ckpt.restore(model=model) == 20 and ckpt.extra == 20
    assert model_bits(model) == model_bits(make_model(20))
    assert ckpt.restore(model=model, step=10) == 10 and ckpt.extra == 10
    assert model_bits(model) == model_bits(make_model(10))
    with pytest.raises(FileNotFoundError, match="15"):
        ckpt.restore(model=model, step=15)


# A block in the middle is found out only while reading, the footer already when opening.
@pytest.mark.parametrize("offset", [700, -1], ids=["block", "footer"])
def test_a_broken_newest_step_is_passed_over_and_may_be_saved_anew(two_steps, offset):
    flip_a_byte(rank_file(two_steps, 20), offset)
    ckpt = Checkpointer(two_steps)
    model = make_model(1)
    with pytest.warns(RuntimeWarning, match="passed over step 20"):
        assert ckpt.restore(model=model) == 10
    assert model_bits(model) == model_bits(make_model(10))
    assert ckpt.extra == 10
    (passed,) = ckpt.passed_over
    assert passed.step == 20 and isinstance(passed.error, bitsnap.Corrupt)

    ckpt.save(20, model=make_model(21))
    assert ckpt.restore(model=model) == 20
    assert model_bits(model) == model_bits(make_model(21))
    assert ckpt.passed_over == []


def test_all_broken_is_an_error_not_a_fresh_start(two_steps):
    for step in (10, 20):
        flip_a_byte(rank_file(two_steps, step), -1)
    ckpt = Checkpointer(two_steps)
    with pytest.warns(RuntimeWarning), pytest.raises(bitsnap.Corrupt):
        ckpt.restore(model=make_model(1))
    assert [passed.step for passed in ckpt.passed_over] == [20, 10]


def test_an_existing_step_is_kept_unless_told(two_steps):
    ckpt = Checkpointer(two_steps)
    with pytest.raises(FileExistsError, match="step 20"):
        ckpt.save(20, model=make_model(3))
    ckpt.save(20, model=make_model(3), overwrite=True)
    model = make_model(1)
    ckpt.restore(model=model)
    assert model_bits(model) == model_bits(make_model(3))


def test_a_step_that_some_rank_never_saved_is_nothing_and_may_be_replaced(tmp_path):
    store = bitsnap.Store(tmp_path, create=True)
    store.save([], 5, rank=0, world_size=2)
    ckpt = Checkpointer(tmp_path)
    with pytest.warns(RuntimeWarning, match="rank 1 of 2 is missing"):
        assert ckpt.restore() is None
    ckpt.save(5, extra="whole")
    assert ckpt.restore() == 5 and ckpt.extra == "whole"


def test_saved_by_another_number_of_ranks(tmp_path):
    store = bitsnap.Store(tmp_path, create=True)
    for rank in range(2):
        store.save([], 5, rank=rank, world_size=2)
    with pytest.raises(ValueError, match="saved by 2 .* has 1"):
        Checkpointer(tmp_path).restore()


@pytest.mark.parametrize("metadata", [b"", b"[]", b"\xff", b'{"format": "other"}'])
def test_snapshots_of_others_are_refused(tmp_path, metadata):
    bitsnap.Store(tmp_path, create=True).save([], 5, metadata=metadata)
    with pytest.raises(ValueError, match="not saved by bitsnap.torch"):
        Checkpointer(tmp_path).restore()


def test_a_newer_format_is_passed_over(two_steps):
    metadata = b'{"format": "bitsnap.torch", "version": 2}'
    bitsnap.Store(two_steps).save([], 30, metadata=metadata)
    ckpt = Checkpointer(two_steps)
    with pytest.warns(RuntimeWarning, match="update bitsnap"):
        assert ckpt.restore() == 20


def test_report(two_steps):
    ckpt = Checkpointer(two_steps)
    model = make_model(20)
    report = ckpt.save(30, model=model).result()
    raw = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    assert (report.step, report.raw_bytes) == (30, raw)
    assert report.stored_bytes == rank_file(two_steps, 30).stat().st_size
    assert report.ratio == report.raw_bytes / report.stored_bytes
    assert report.base_step is None or report.base_step < 30
    assert report.seconds > 0
    assert sum(role.raw_bytes for role in report.roles.values()) == raw


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="a store is a directory"):
        Checkpointer(tmp_path / "file")


def test_deltas_restore_exactly(tmp_path):
    ckpt = Checkpointer(tmp_path)
    torch.manual_seed(1)
    weights = {"w": torch.randn(300, 300).bfloat16()}
    ckpt.save(1, model=weights)
    weights["w"].view(torch.int16)[::7, ::5] ^= 1
    assert ckpt.save(2, model=weights).result().base_step == 1
    restored = {"w": torch.zeros(300, 300, dtype=torch.bfloat16)}
    ckpt.restore(model=restored)
    assert torch.equal(restored["w"].view(torch.int16), weights["w"].view(torch.int16))


@pytest.mark.parametrize(
    "metadata",
    [
        b'{"format": "other"}',
        b'{"format": "bitsnap.torch", "version": 1}',
        b'{"format": "bitsnap.torch", "version": 1, "model": 5, "optimizers": {}, "extra": null}',
        b'{"format": "bitsnap.torch", "version": 1, "model": {}, "optimizers": {"a": 1}, "extra": 0}',
        b'{"format": "bitsnap.torch", "version": 1, "model": {}, "optimizers": {}, '
        b'"extra": {"$": "no such kind"}}',
        b"[" * 100_000,
    ],
)
def test_metadata_that_are_not_ours_are_passed_over(two_steps, metadata):
    bitsnap.Store(two_steps).save([], 30, metadata=metadata)
    ckpt = Checkpointer(two_steps)
    with pytest.warns(RuntimeWarning, match="passed over step 30"):
        assert ckpt.restore() == 20
    with pytest.raises(bitsnap.Corrupt, match="step 30"):
        ckpt.restore(step=30)


OPTIMIZER = {"shapes": {"p": [1]}, "has_model": True, "masters": [], "groups": [], "state": {}}
GROUP = {"params": ["p"], "options": {}}
NO_TENSOR = {"$": "tensor", "v": ["model.none", "float32"]}
OTHER_DTYPE = {"$": "tensor", "v": ["model.w", "float64"]}


def optimizer_with(**changed):
    return {"optimizers": {"": {**OPTIMIZER, **changed}}}


@pytest.mark.parametrize(
    "changed",
    [
        optimizer_with(shapes=None),
        optimizer_with(has_model=None),
        optimizer_with(masters=3),
        optimizer_with(masters=[3]),
        optimizer_with(kind=3),
        optimizer_with(groups=3),
        optimizer_with(groups=[{}]),
        optimizer_with(groups=[{**GROUP, "params": [["p"]]}]),
        optimizer_with(groups=[{**GROUP, "options": []}]),
        optimizer_with(groups=[{**GROUP, "options": {"lr": {"$": "tensor"}}}]),
        optimizer_with(groups=[{**GROUP, "options": {"$": "tuple", "v": [1]}}]),
        optimizer_with(state={"p": 3}),
        optimizer_with(state={"p": {"m": OTHER_DTYPE}}),
        {"model": {"w": NO_TENSOR}},
        {"model": {"w": {"$": "q"}}},
        {"module_metadata": {"": 3}},
        {"module_metadata": {"": {"$": "q"}}},
        {"extra": NO_TENSOR},
        {"extra": OTHER_DTYPE},
    ],
    ids=str,
)
def test_metadata_with_a_part_that_is_not_ours_are_passed_over(tmp_path, changed):
    ckpt = Checkpointer(tmp_path)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter])
    ckpt.save(1, model={"w": parameter}, optimizer=optimizer).wait()
    content = {**json.loads(ckpt.store.open_step(1).metadata), **changed}
    tensor = bitsnap.Tensor("model.w", "F32", (1,), bytes(4))
    ckpt.store.save([tensor], 2, metadata=json.dumps(content).encode())
    with pytest.warns(RuntimeWarning, match="passed over step 2"):
        assert ckpt.restore({"w": parameter}, optimizer) == 1
