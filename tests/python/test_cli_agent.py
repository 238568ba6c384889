"""`bitsnap agent` in the foreground; what signals do to saves is in src/engine/agent_foreground_test.cc."""

import json
import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from command import BINARY, bitsnap_json


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    assert not list(folder.iterdir())


def start(*args):
    return subprocess.Popen(
        [BINARY, "agent", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def test_it_says_that_it_listens_and_that_it_has_ended(tmp_path):
    agent = start(tmp_path / "store")
    assert "listens" in agent.stderr.readline()
    agent.send_signal(signal.SIGINT)
    out, told = agent.communicate(timeout=20)
    assert agent.returncode == 0 and out == ""
    assert told.splitlines() == [
        "bitsnap: the agent has ended; nothing that was handed over is left to do"
    ]


def test_it_tells_in_json_lines(tmp_path):
    agent = start(tmp_path / "store", "--json")
    listening = json.loads(agent.stdout.readline())
    assert listening["event"] == "listening" and listening["process"] == agent.pid
    error = bitsnap_json("agent", tmp_path / "store", code=3)["error"]
    assert error["kind"] == "busy" and "has an agent already" in error["message"]
    agent.send_signal(signal.SIGTERM)
    out, told = agent.communicate(timeout=20)
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["ending", "ended"]
    assert told == "" and agent.returncode == 0


def processor_seconds(process):
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors_it_rests_and_goes_on(tmp_path):
    agent = subprocess.Popen(
        [BINARY, "agent", tmp_path / "store", "--json"], stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)),
    )  # fmt: skip
    path = json.loads(agent.stdout.readline())["socket"]

    def connect():
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        return client

    clients = [connect() for _ in range(60)]
    while len(os.listdir(f"/proc/{agent.pid}/fd")) < 39:
        assert agent.poll() is None
    before, began = processor_seconds(agent), time.monotonic()
    while time.monotonic() < began + 1:
        time.sleep(0.05)
    assert processor_seconds(agent) - before < 0.2
    for client in clients:
        client.close()
    late = connect()
    late.settimeout(20)
    late.send(b"\xff" * 8)  # no frame: who is served is turned away
    assert late.recv(1) == b""
    agent.send_signal(signal.SIGINT)
    agent.communicate(timeout=20)
    assert agent.returncode == 0
