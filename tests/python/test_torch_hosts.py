"""Copies in other machines' memory, over a network: power cuts, and cables that are pulled."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hosts import Network

WORLD = 3
SCRIPT = Path(__file__).parent / "host_rank.py"


@pytest.fixture
def network(tmp_path):
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        pytest.skip("needs root, iproute2 and util-linux")
    (tmp_path / "disk").mkdir()
    try:
        network = Network(tmp_path / "disk")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network of its own: {error}")
    yield network
    network.end()


class Job:
    """A rank on each machine of a network."""

    def __init__(self, network, phase):
        self._ranks = {
            rank: host.start(
                "timeout", "120", sys.executable, SCRIPT, phase, str(rank), str(WORLD),
                network.hosts[0].address, network.disk,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for rank, host in network.hosts.items()
        }  # fmt: skip

    def told(self):
        """What each rank tells next; null of one that ended."""
        lines = {rank: process.stdout.readline() for rank, process in self._ranks.items()}
        return {rank: json.loads(line) if line else None for rank, line in lines.items()}

    def let_save(self):
        for process in self._ranks.values():
            process.stdin.write("\n")
            process.stdin.flush()

    def forget(self, rank):
        self._end(self._ranks.pop(rank))

    def end(self):
        return [self._end(process) for process in self._ranks.values()]

    @staticmethod
    def _end(process):
        with process:
            return process.wait()


def train(network):
    for rank in range(WORLD):
        network.boot(rank)
    job = Job(network, "train")
    told = job.told()
    assert [each["saved"] for each in told.values()] == [20] * WORLD
    return job, [each["digest"] for each in told.values()]


def restore(network):
    job = Job(network, "restore")
    told = job.told()
    assert job.end() == [0] * WORLD
    return told


@pytest.mark.parametrize("lost", [0, 2])
def test_a_machine_that_loses_power(network, lost):
    job, digests = train(network)
    network.cut_power(lost)
    job.forget(lost)
    started = time.monotonic()
    job.let_save()
    assert all("ended" in each for each in job.told().values())
    assert job.end() == [0] * (WORLD - 1)
    assert time.monotonic() - started < 30
    network.boot(lost)
    for rank, told in restore(network).items():
        source = "partner" if rank == lost else "disk"
        assert told == {"step": 20, "restored_from": source, "digest": digests[rank]}


def test_a_cable_that_is_pulled_and_plugged_in_again(network):
    job, digests = train(network)
    network.unplug(1)
    started = time.monotonic()
    job.let_save()
    assert all("ended" in each for each in job.told().values())
    assert job.end() == [0] * WORLD
    assert time.monotonic() - started < 30
    network.plug_in(1)
    for rank, told in restore(network).items():
        assert told == {"step": 20, "restored_from": "memory", "digest": digests[rank]}
