"""The native module: buffers in and out, records, errors."""

import array
import dataclasses
import mmap

import numpy as np
import pytest

import bitsnap
from bitsnap import Snapshot, Store, Tensor


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", create=True)


def floats(name="t", count=1000, **options):
    data = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    return Tensor(name, "F32", (count,), data, **options)


def read(snapshot, name, count):
    out = np.empty(count, np.float32)
    snapshot.read_into([(name, out)])
    return out


def test_version_and_profiles():
    assert bitsnap.__version__.count(".") == 2
    assert bitsnap.PROFILES[:3] == ("exact", "fast", "paper")


def anonymous_map(content):
    memory = mmap.mmap(-1, len(content))
    memory[:] = content
    return memory


@pytest.mark.parametrize(
    "make",
    [bytes, bytearray, memoryview, anonymous_map, lambda b: array.array("B", b),
     lambda b: np.frombuffer(b, np.uint8), lambda b: np.frombuffer(b, np.float64).reshape(4, 8)],
    ids=["bytes", "bytearray", "memoryview", "mmap", "array", "read_only_numpy", "numpy_2d"],
)  # fmt: skip
def test_any_buffer_can_be_saved(store, make):
    content = bytes(range(256))
    store.save([Tensor("t", "U8", (256,), make(content))], 1)
    out = bytearray(256)
    store.open_step(1).read_into([("t", out)])
    assert out == content


@pytest.mark.parametrize(
    "make", [bytearray, anonymous_map, lambda b: np.frombuffer(bytearray(b), np.int16)]
)
def test_any_writable_buffer_can_be_read_into(store, make):
    content = bytes(range(256))
    store.save([Tensor("t", "U8", (256,), content)], 1)
    out = make(bytes(256))
    store.open_step(1).read_into([("t", out)])
    assert bytes(out) == content


@pytest.mark.parametrize(
    "out",
    [bytes(256), np.zeros(512, np.uint8)[::2], np.frombuffer(bytes(256), np.uint8), "text", None],
    ids=["bytes", "strided", "read_only", "str", "none"],
)
def test_what_cannot_be_written_to_is_refused(store, out):
    store.save([Tensor("t", "U8", (256,), bytes(256))], 1)
    with pytest.raises(TypeError, match="tensor 't': its data must be a writable contiguous"):
        store.open_step(1).read_into([("t", out)])


def test_strided_data_is_refused(store):
    with pytest.raises(TypeError, match="tensor 't'.*contiguous"):
        store.save([Tensor("t", "U8", (8,), np.zeros(16, np.uint8)[::2])], 1)


def test_parts_of_tensors_in_one_call(store):
    a, b = floats("a"), floats("b", 10)
    store.save([a, b], 1)
    head, tail, whole = bytearray(40), bytearray(400), np.empty(10, np.float32)
    store.open_step(1).read_into([("a", head), ("a", tail, 3600), ("b", whole)], threads=2)
    assert head == a.data.tobytes()[:40]
    assert tail == a.data.tobytes()[3600:]
    assert whole.tobytes() == b.data.tobytes()


def test_reading_past_the_end(store):
    store.save([floats()], 1)
    with pytest.raises(bitsnap.InvalidArgument, match="t"):
        store.open_step(1).read_into([("t", bytearray(4001))])
    with pytest.raises(bitsnap.InvalidArgument, match="t"):
        store.open_step(1).read_into([("t", bytearray(1), 2**64 - 1)])


def test_empty_and_0d(store):
    scalar = Tensor("s", "F64", (), np.float64(2.5).tobytes())
    store.save([Tensor("e", "F32", (0, 3), b""), scalar], 1)
    snapshot = store.open_step(1)
    assert [t.shape for t in snapshot.tensors] == [(0, 3), ()]
    out = np.empty((), np.float64)
    snapshot.read_into([("e", bytearray()), ("s", out)])
    assert out == 2.5


def test_records(store):
    report = store.save([floats(role="exp_avg", group="p")], 4, metadata=b"\x00\xff", base="none")
    assert dataclasses.is_dataclass(report) and report.step == 4
    assert report.raw_bytes == 4000 and report.base_step is None and report.base_reason
    assert report.roles["exp_avg"].raw_bytes == 4000
    snapshot = store.open_step(4)
    assert (snapshot.step, snapshot.rank, snapshot.world_size) == (4, 0, 1)
    assert snapshot.base_step is None
    assert snapshot.profile == "exact" and snapshot.metadata == b"\x00\xff"
    (tensor,) = snapshot.tensors
    assert (tensor.name, tensor.dtype, tensor.shape) == ("t", "F32", (1000,))
    assert (tensor.role, tensor.group, tensor.error) == ("exp_avg", "p", {})
    (step,) = store.list()
    assert step.whole and step.ranks == [0] and step.stored_bytes == report.stored_bytes
    verified = store.verify()
    assert (verified.files, verified.raw_bytes, verified.broken) == (1, 4000, [])


def test_lossy_profile_reports_its_error(store):
    store.save([floats(role="exp_avg", count=5000)], 1, profile="paper")
    (tensor,) = store.open_step(1).tensors
    assert tensor.codec.startswith("cluster") and tensor.error
    assert all(value >= 0 for value in tensor.error.values())


def test_roles_are_inferred_when_not_given(store):
    store.save([floats("model.w"), floats("optimizer.state.w.exp_avg")], 1)
    assert [t.role for t in store.open_step(1).tensors] == ["weight", "exp_avg"]


def test_base_by_number(store):
    store.save([floats()], 1)
    assert store.save([floats()], 2, base=1).base_step == 1
    assert store.save([floats()], 3, base="none").base_step is None
    with pytest.raises(bitsnap.MissingBase, match="9"):
        store.save([floats()], 4, base=9)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"dtype": "float32"}, "unknown dtype 'float32'"),
        ({"role": "wait"}, "unknown role 'wait'"),
        ({"shape": (999,)}, "4000 were given"),
        ({"shape": (2**63, 4)}, "4000 were given"),
    ],
)
def test_bad_tensors(store, change, message):
    with pytest.raises(bitsnap.InvalidArgument, match=message):
        store.save([dataclasses.replace(floats(), **change)], 1)
    assert store.list() == []


def test_bad_options(store):
    with pytest.raises(ValueError, match="use one of exact, fast, paper"):
        store.save([floats()], 1, profile="best")
    with pytest.raises(ValueError, match="unknown base 'newest'"):
        store.save([floats()], 1, base="newest")
    with pytest.raises(ValueError, match="rank 2 does not exist"):
        store.save([floats()], 1, rank=2, world_size=2)
    with pytest.raises(ValueError, match="t"):
        store.save([floats(), floats()], 1)


def test_errors_are_also_the_builtin_ones(store, tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        Store(tmp_path / "nowhere")
    assert isinstance(missing.value, bitsnap.NotFound) and "nowhere" in str(missing.value)
    store.save([floats()], 1)
    with pytest.raises(FileExistsError) as there:
        store.save([floats()], 1)
    assert isinstance(there.value, bitsnap.AlreadyExists)
    with pytest.raises(bitsnap.NotFound, match="no tensor 'x'"):
        store.open_step(1).read_into([("x", bytearray(1))])
    with pytest.raises(bitsnap.NotFound):
        store.open_step(2)
    assert issubclass(bitsnap.OutOfSpace, OSError)
    assert issubclass(bitsnap.Truncated, bitsnap.Corrupt)


def cut(store, step):
    (path,) = (store.directory / f"step-{step:08}").iterdir()
    path.write_bytes(path.read_bytes()[:-5])


def test_restore_newest_goes_back_for_broken_steps(store):
    for step in (1, 2, 3):
        store.save([floats()], step, base="none")
    cut(store, 3)
    used, passed_over = [], []

    def use(snapshot: Snapshot):
        used.append(snapshot.step)
        if snapshot.step == 2:
            raise bitsnap.Corrupt("said the caller")

    assert store.restore_newest(use, passed_over=passed_over) == 1
    assert used == [2, 1]
    assert [p.step for p in passed_over] == [3, 2]
    assert isinstance(passed_over[0].error, bitsnap.BitSnapError)
    assert str(passed_over[1].error) == "said the caller"
    report = store.verify()
    assert [p.step for p in report.broken] == [3]


def test_other_exceptions_of_the_callback_come_through(store):
    store.save([floats()], 1)
    store.save([floats()], 2)
    error = KeyError("mine")

    def use(snapshot):
        raise error

    with pytest.raises(KeyError) as caught:
        store.restore_newest(use)
    assert caught.value is error


def test_the_callbacks_snapshot_is_closed_afterwards(store):
    store.save([floats()], 1)
    kept = []
    store.restore_newest(kept.append)
    with pytest.raises(bitsnap.InvalidArgument, match="use open_step"):
        kept[0].tensors
    with pytest.raises(bitsnap.InvalidArgument, match="use open_step"):
        read(kept[0], "t", 1000)


def test_an_open_snapshot_outlives_its_store_object(tmp_path):
    tensor = floats()
    Store(tmp_path, create=True).save([tensor], 1)
    snapshot = Store(tmp_path).open_step(1)
    assert read(snapshot, "t", 1000).tobytes() == tensor.data.tobytes()


def test_rank_files_one_by_one(tmp_path):
    here, there = (Store(tmp_path / name, create=True) for name in ("here", "there"))
    weight = np.arange(200_000, dtype=np.uint16)
    for step in (10, 20):
        weight[::999] += 1
        tensors = [Tensor("model.w", "BF16", weight.shape, weight)]
        here.save(tensors, step, rank=1, world_size=3, save_id=step)
    assert here.list_ranks() == [bitsnap.RankOfStep(step, 1, 3) for step in (10, 20)]
    with pytest.raises(bitsnap.NotFound, match="not whole"):
        here.open_step(20, 1)
    file, base = here.files_of(20, 1, 3)
    assert (file.id.step, file.save_id, file.base_step, base.id.step) == (20, 20, 10, 10)
    copies = [each.path.read_bytes() for each in (file, base)]
    assert bitsnap.check_rank_file(copies[0]).hash == file.hash
    with pytest.raises(bitsnap.BitSnapError):
        bitsnap.check_rank_file(copies[0][:-1])
    with pytest.raises(bitsnap.MissingBase):
        there.adopt(copies[0])
    there.adopt(*copies)
    snapshot = there.open_rank(20, 1, 3)
    assert (snapshot.save_id, snapshot.world_size) == (20, 3)
    out = np.empty_like(weight)
    snapshot.read_into([("model.w", out)])
    assert out.tobytes() == weight.tobytes()
    with pytest.raises(TypeError, match="contiguous buffer"):
        there.adopt(weight[::2])
