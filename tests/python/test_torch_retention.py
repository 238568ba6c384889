"""A Checkpointer that keeps only what it is told to keep."""

import pytest
import torch
from torch_training import make_model, model_bits, train

import bitsnap
from bitsnap.torch import Checkpointer


def run(path, steps, **retention):
    """Saves each step; returns the checkpointer and the model's bits by step."""
    ckpt = Checkpointer(path, **retention)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters())
    bits = {}
    for step in range(1, steps + 1):
        train(model, optimizer, 1)
        ckpt.save(step, model=model, optimizer=optimizer, extra={"step": step})
        bits[step] = model_bits(model)
    ckpt.wait()
    return ckpt, bits


def steps_of(ckpt):
    return [info.step for info in ckpt.store.list() if info.whole]


def test_each_save_prunes(tmp_path):
    ckpt, bits = run(tmp_path, 7, keep_last=2, keep_every=3)
    assert steps_of(ckpt) == [3, 6, 7]
    model = make_model(1)
    for step in (3, 6, 7):
        assert ckpt.restore(model=model, step=step) == step
        assert model_bits(model) == bits[step]


def test_old_steps_lose_their_optimizer_and_say_so(tmp_path):
    ckpt, bits = run(tmp_path, 6, drop_optimizer_older_than=2)
    assert steps_of(ckpt) == [1, 2, 3, 4, 5, 6]
    thinned = [
        step
        for step in steps_of(ckpt)
        if not any("exp_avg" in tensor.name for tensor in ckpt.store.open_step(step).tensors)
    ]
    assert thinned and set(thinned) <= {1, 2, 3}
    model = make_model(1)
    optimizer = torch.optim.AdamW(model.parameters())
    assert ckpt.restore(model=model, step=thinned[0]) == thinned[0]
    assert model_bits(model) == bits[thinned[0]] and ckpt.extra == {"step": thinned[0]}
    with pytest.raises(ValueError, match="dropped from this old step by pruning"):
        ckpt.restore(model=model, optimizer=optimizer, step=thinned[0])
    assert ckpt.restore(model=model, optimizer=optimizer) == 6
    assert model_bits(model) == bits[6]


def test_rules_that_make_no_sense(tmp_path):
    for rules in ({"keep_last": 0}, {"keep_last": -1}, {"keep_last": 1, "keep_every": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            Checkpointer(tmp_path / "store", **rules)
    assert not (tmp_path / "store").exists()


def test_what_keeps_pruning_from_working_is_a_warning(tmp_path):
    ckpt, _ = run(tmp_path, 2, keep_last=2)
    # A directory where a file should be cannot be removed like one.
    (tmp_path / "step-00000001" / "rank-00001-of-00002.bsnap").mkdir()
    (tmp_path / "step-00000001" / "rank-00001-of-00002.bsnap" / "inner").touch()
    with pytest.warns(RuntimeWarning, match="saved step 3 but could not prune"):
        ckpt.save(3, model=make_model()).result()
    assert Checkpointer(tmp_path).restore(model=make_model()) == 3


def test_the_store_prunes_and_repairs(tmp_path):
    store = run(tmp_path, 3)[0].store
    foreseen = store.prune(keep_last=1, dry_run=True)
    assert foreseen.kept == [3] and [pruned.step for pruned in foreseen.removed] == [2, 1]
    assert store.prune(keep_last=1) == foreseen
    (tmp_path / "step-00000009").mkdir()
    assert store.repair().repaired == []
    assert "may be running" in store.repair().left[0].why
    assert [item.path for item in store.repair(min_age=0).repaired] == ["step-00000009"]
    with pytest.raises(bitsnap.InvalidArgument, match="nothing said"):
        store.prune()
