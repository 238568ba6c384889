"""Long work: the GIL is free, progress is told, and stopping leaves nothing behind."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import bitsnap
from bitsnap import Store, Tensor

COUNT = 32 * 1024 * 1024  # of floats: long enough to look at while it is saved


@pytest.fixture(scope="module")
def big():
    data = np.random.default_rng(0).standard_normal(COUNT, dtype=np.float32)
    return Tensor("t", "F32", (COUNT,), data)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", create=True)


def ticks_during(work):
    """How often another Python thread ran, and how long `work` took."""
    ticks, done = 0, threading.Event()

    def tick():
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    return ticks, seconds


def test_other_threads_run_while_saving_reading_and_verifying(store, big):
    out = np.empty(COUNT, np.float32)
    for work in (
        lambda: store.save([big], 1, base="none"),
        lambda: store.open_step(1).read_into([("t", out)]),
        lambda: store.verify(),
    ):
        ticks, seconds = ticks_during(work)
        assert ticks > 20 * seconds, (ticks, seconds)
    assert out.tobytes() == big.data.tobytes()


def test_progress_is_told_on_the_calling_thread(store, big):
    calls = []

    def progress(done, total):
        assert threading.current_thread() is threading.main_thread()
        calls.append((done, total))

    store.save([big], 1, base="none", progress=progress)
    done = [call[0] for call in calls]
    assert done == sorted(done) and calls[-1] == (4 * COUNT, 4 * COUNT)
    for work in (
        lambda: store.open_step(1).read_into([("t", bytearray(4 * COUNT))], progress=progress),
        lambda: store.verify(progress=progress),
    ):
        calls.clear()
        work()
        assert calls[-1] == (4 * COUNT, 4 * COUNT)


def files(store):
    return [path for path in store.directory.rglob("*") if path.is_file()]


def test_progress_can_stop_the_work(store, big):
    with pytest.raises(bitsnap.Cancelled):
        store.save([big], 1, progress=lambda done, total: False)
    assert not files(store) and store.list() == []
    store.save([big], 1)


def test_exceptions_of_progress_come_through(store, big):
    def progress(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        store.save([big], 1, progress=progress)
    assert not files(store) and store.list() == []


def test_ctrl_c_stops_a_save_and_leaves_nothing(tmp_path):
    script = f"""
import signal, sys
import numpy as np
from bitsnap import Store, Tensor
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
store = Store(sys.argv[1], create=True)
data = np.random.default_rng(0).standard_normal({COUNT}, dtype=np.float32)
tell = lambda done, total: print("saving", flush=True) if done else None
try:
    for step in range(100):
        store.save([Tensor("t", "F32", data.shape, data)], step, base="none", progress=tell)
except KeyboardInterrupt:
    print("", [s.whole for s in store.list()], sep="\\n")  # "saving" may lack its end of line
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "store"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "saving\n"
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    # The first save was stopped, or another right behind it: what is there is whole.
    whole = eval(output[-1])
    assert len(whole) < 3 and all(whole)
    left = [p for p in (tmp_path / "store").rglob("*") if p.is_file() and p.name.startswith(".")]
    assert not left


def test_several_threads_read_one_snapshot(store, big):
    store.save([big], 1)
    snapshot = store.open_step(1)
    outs = [np.empty(COUNT, np.float32) for _ in range(3)]
    threads = [threading.Thread(target=snapshot.read_into, args=([("t", out)],)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(out.view(np.uint32), big.data.view(np.uint32)) for out in outs)


def test_closing_waits_for_reads_under_way(store, big):
    """restore_newest() closes its snapshot while another thread still reads from it."""
    store.save([big], 1)
    out = np.empty(COUNT, np.float32)
    threads = []

    def use(snapshot):
        reading = threading.Event()
        arguments = ([("t", out)], 0, lambda done, total: reading.set())
        threads.append(threading.Thread(target=snapshot.read_into, args=arguments))
        threads[0].start()
        reading.wait(30)

    store.restore_newest(use)
    threads[0].join()
    assert np.array_equal(out.view(np.uint32), big.data.view(np.uint32))
