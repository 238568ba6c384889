"""Steps that are there and cannot be looked into: a restore says so, and never starts afresh."""

import os
import resource
import shutil

import pytest
import torch

import bitsnap
from bitsnap.torch import Checkpointer


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "store"
    with Checkpointer(path, engine="sync") as checkpointer:
        for step in (10, 20):
            checkpointer.save(step, model={"w": torch.full((4,), float(step))})
    return path


def link_folder(folder):
    shutil.move(folder, folder.parent.parent / folder.name)
    os.symlink(folder.parent.parent / folder.name, folder)


def link_files(folder):
    for file in folder.glob("*.bsnap"):
        file.rename(file.with_suffix(".x"))
        os.symlink(file.with_suffix(".x"), file)


def replace_folder_by_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


SPOILT = [link_folder, link_files, replace_folder_by_a_file]


@pytest.mark.parametrize("spoil", SPOILT)
def test_steps_that_cannot_be_looked_into_are_an_error(saved, spoil):
    for step in (10, 20):
        spoil(saved / f"step-{step:08}")
    checkpointer = Checkpointer(saved, engine="sync")
    with pytest.warns(RuntimeWarning, match="passed over step 20"):
        with pytest.raises(bitsnap.IoFailed, match="none of its 2 step"):
            checkpointer.restore(model={"w": torch.zeros(4)})
    assert [passed.step for passed in checkpointer.passed_over] == [20, 10]


@pytest.mark.parametrize("spoil", SPOILT)
def test_an_older_step_is_restored_with_a_report(saved, spoil):
    spoil(saved / "step-00000020")
    checkpointer, model = Checkpointer(saved, engine="sync"), {"w": torch.zeros(4)}
    with pytest.warns(RuntimeWarning, match="passed over step 20"):
        assert checkpointer.restore(model=model) == 10
    assert torch.equal(model["w"], torch.full((4,), 10.0))
    with pytest.raises(bitsnap.IoFailed):
        checkpointer.restore(model=model, step=20)


def test_an_unreadable_step_says_more_than_one_that_is_not_whole(saved):
    for file in (saved / "step-00000020").iterdir():
        file.unlink()
    link_folder(saved / "step-00000010")
    with pytest.warns(RuntimeWarning), pytest.raises(bitsnap.IoFailed):
        Checkpointer(saved, engine="sync").restore(model={"w": torch.zeros(4)})


@pytest.mark.parametrize("left", [0, 1, 2])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_without_descriptors_a_restore_does_not_start_afresh(saved, left):
    checkpointer = Checkpointer(saved, engine="sync")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    taken = []
    try:
        with pytest.raises(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for fd in taken[len(taken) - left :]:
            os.close(fd)
        del taken[len(taken) - left :]
        try:
            step = checkpointer.restore(model={"w": torch.zeros(4)})
        except bitsnap.IoFailed:
            step = 20 if not checkpointer.passed_over else 10
        assert step is not None
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert checkpointer.restore(model={"w": torch.zeros(4)}) == 20


@pytest.mark.parametrize("engine", ["sync", "thread"])
def test_a_relative_path_stays_where_it_was_opened(tmp_path, monkeypatch, engine):
    for folder in ("first", "second/runs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "first")
    with Checkpointer("runs", engine=engine) as checkpointer:
        checkpointer.save(1, model={"w": torch.ones(2)}).wait()
        monkeypatch.chdir(tmp_path / "second")
        checkpointer.save(2, model={"w": torch.ones(2)}).wait()
        assert checkpointer.restore(model={"w": torch.zeros(2)}) == 2
    assert [info.step for info in bitsnap.Store(tmp_path / "first/runs").list()] == [1, 2]
    assert not list((tmp_path / "second/runs").iterdir())


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert bitsnap.Store("~/a", create=True).directory == tmp_path / "a"
    with Checkpointer("~/b", engine="sync") as checkpointer:
        checkpointer.save(1, model={"w": torch.ones(2)})
    assert (tmp_path / "b/LATEST").exists()
