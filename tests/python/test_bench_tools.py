"""The measuring scripts of bench/, where their figures can be known beforehand."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path[:0] = [str(BENCH), str(BENCH / "rivals")]

import blockwise  # noqa: E402
import bound  # noqa: E402
import lossless  # noqa: E402
import report  # noqa: E402
import traces  # noqa: E402


def test_entropy_of_known_histograms():
    assert bound.entropy(np.zeros(100, np.int64)) == 0
    assert bound.entropy(np.arange(256)) == pytest.approx(256 * 8)
    symbols, context = np.array([0, 1, 5, 6] * 8), np.array([0, 0, 1, 1] * 8)
    assert bound.entropy(symbols) == pytest.approx(64)
    assert bound.conditional_entropy(symbols, context) == pytest.approx(32)


def test_ulp_order_counts_the_floats_between():
    bits = np.array([0xFF80, 0x8001, 0x8000, 0x0000, 0x0001, 0x3F80, 0x7F80], np.uint16)
    order = bound.ulp_order(bits)
    assert np.all(np.diff(order) > 0)
    assert order[3] - order[2] == order[4] - order[3] == 1


def test_zigzag_keeps_small_differences_small():
    assert bound.zigzag(np.array([0, -1, 1, -2, 2])).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [0.0025, 0.012, 0.05])
def test_moments_are_bounded_at_the_error_asked_for(error):
    random = np.random.default_rng(1)
    v = np.exp(random.normal(-18, 2, (256, 256)))
    m = random.normal(0, 1, v.shape) * np.sqrt(v)
    assert bound.MomentBound(m, v, error).error == pytest.approx(error, rel=0.02)


def test_of_moments_that_a_line_from_the_base_tells_only_the_base_s_own_error_costs():
    random = np.random.default_rng(1)
    v = np.exp(random.normal(-18, 2, (64, 64)))
    m = random.normal(0, 1, v.shape) * np.sqrt(v)
    for error in (0.01, 0.05):
        leaning = bound.MomentBound(0.9 * m, v / 2, error, base=(m, v))
        alone = bound.MomentBound(m, v, error)
        assert alone.v > 5 * m.size and leaning.v < 0.1 * m.size
        # Two roundings to the grid, the base's and this one, against none.
        assert alone.u > 5 * m.size and 0.5 * m.size < leaning.u < 1.5 * m.size


def test_dynamic_maps_have_256_values():
    for role, low in (("exp_avg", -1), ("exp_avg_sq", 0)):
        values = blockwise.MAPS[role]
        assert len(set(values.tolist())) == 256 and 0 in values
        assert low <= values.min() and values.max() == 1


def test_blockwise_error_is_small_within_a_decade():
    values = np.random.default_rng(1).uniform(0.1, 1, 1000).astype(np.float32)
    codes, scales = blockwise.encode("exp_avg_sq", values)
    assert codes.nbytes + scales.nbytes == 1000 + 4 * 4
    assert np.abs(blockwise.decode("exp_avg_sq", codes, scales) / values - 1).max() < 0.06


@pytest.mark.parametrize("name", lossless.MAKERS)
def test_rivals_give_back_every_bit(name):
    try:
        codec = lossless.MAKERS[name]()
    except ImportError as missing:
        pytest.skip(f"requirements-rivals.txt is not installed: {missing}")
    random = np.random.default_rng(1)
    base = random.normal(0, 0.02, 5000).astype(np.float32)
    current = base + random.normal(0, 1e-5, 5000).astype(np.float32)
    current[:4] = [np.nan, -0.0, np.inf, 1e-45]
    for new, old in ((current, base), (current.view(np.uint16), base.view(np.uint16))):
        before = new.tobytes()
        assert codec.decode(codec.encode(new), new).tobytes() == before
        delta = lossless.Xor(codec)
        assert delta.decode(delta.encode(new, old), old).tobytes() == before
        assert new.tobytes() == before


def test_trace_files_are_read_as_written(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    state = "optimizer.state.w"
    tensors = {f"{state}.{role}": torch.full((2, 3), i) for i, role in enumerate(traces.ROLES[1:])}
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    tensors["model.w"] = torch.tensor([[1.0, -2.0]]).bfloat16()
    save_file({**tensors, f"{state}.step": torch.tensor(3.0)}, tmp_path / "x.safetensors")
    loaded = traces.load(tmp_path, "x")
    assert sorted(loaded) == sorted(tensors)
    flat = traces.flat(loaded)
    assert flat["weight"].tolist() == [0x3F80, 0xC000]
    assert flat["exp_avg_sq"].tolist() == [2.0] * 6


def test_report_replaces_only_between_its_markers():
    page = "a\n<!-- x -->\nold\n<!-- end -->\nb\n<!-- y -->\nkept\n<!-- end -->\n"
    assert report.replace(page, "x", "new") == page.replace("old", "new")
