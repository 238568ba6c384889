"""What the bitsnap command reads from and writes to: other kinds of files, links, pipes, devices."""

import os
import socket
import stat
import subprocess
import threading
import zipfile

import numpy as np
import pytest
import torch

from command import BINARY, bitsnap, files_of, rank_file, read_safetensors, write_safetensors

USAGE, IO = 2, 3
TENSORS = {"w": ("U8", [300_000], bytes(300_000))}  # more than a pipe holds


@pytest.fixture
def store(tmp_path):
    write_safetensors(tmp_path / "in.safetensors", TENSORS)
    bitsnap("save", tmp_path / "store", tmp_path / "in.safetensors", "--step", 1)
    return tmp_path / "store"


def refused(*args, says, code=USAGE):
    told = bitsnap(*args, code=code)
    assert says in told.stderr and told.stdout == "" and len(told.stderr.splitlines()) == 1


def test_a_file_is_replaced_only_by_force(store, tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    refused("restore", store, "-o", out, says="--force")
    assert out.read_text() == "mine"
    bitsnap("restore", store, "-o", out, "--force")
    assert read_safetensors(out) == TENSORS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.safetensors", "out", "store"]


@pytest.mark.parametrize("mode", [0o600, 0o444, 0o664])
def test_what_is_replaced_leaves_its_mode(store, tmp_path, mode):
    out = tmp_path / "out"
    out.write_text("mine")
    out.chmod(mode)
    bitsnap("restore", store, "-o", out, "--force")
    assert stat.S_IMODE(out.stat().st_mode) == mode and read_safetensors(out) == TENSORS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_is_replaced_leaves_its_owner(store, tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    os.chown(out, 12345, 23456)
    bitsnap("restore", store, "-o", out, "--force")
    assert (out.stat().st_uid, out.stat().st_gid) == (12345, 23456)


def test_links_are_followed(store, tmp_path):
    (tmp_path / "folder").mkdir()
    new, old = tmp_path / "new", tmp_path / "old"
    new.symlink_to("folder/new.safetensors")  # there is nothing yet
    bitsnap("restore", store, "-o", new)
    assert new.is_symlink() and read_safetensors(tmp_path / "folder/new.safetensors") == TENSORS
    (tmp_path / "folder/old").write_text("mine")
    old.symlink_to(tmp_path / "link")
    (tmp_path / "link").symlink_to("folder/old")
    refused("restore", store, "-o", old, says="--force")
    bitsnap("restore", store, "-o", old, "--force")
    assert old.is_symlink() and (tmp_path / "link").is_symlink()
    assert read_safetensors(tmp_path / "folder/old") == TENSORS
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refused("restore", store, "-o", loop, says="loop", code=IO)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_stores_own_files_are_never_written(store, tmp_path, force):
    link = tmp_path / "link"
    link.symlink_to(rank_file(store, 1))
    other = tmp_path / "copy.bsnap"
    other.write_bytes(rank_file(store, 1).read_bytes())
    before = files_of(store), other.read_bytes()
    step = store / "step-00000001"
    places = [rank_file(store, 1), link, step / "new", store / "LATEST", store / "PARTIAL",
              store / "step-00000002", store / "step-00000002" / "new", other,
              tmp_path / "store" / ".." / "store" / "LATEST"]  # fmt: skip
    for place in places:
        refused("restore", store, "-o", place, *force, says="store")
    assert (files_of(store), other.read_bytes()) == before


def taken_from(path):
    """What a thread reads from a pipe, as a list to look into after join()."""
    taken = []
    thread = threading.Thread(target=lambda: taken.append(path.read_bytes()))
    thread.start()
    return thread, taken


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_pipe_takes_the_bytes(store, tmp_path, force):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread, taken = taken_from(pipe)
    bitsnap("restore", store, "-o", pipe, *force)
    thread.join()
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    (tmp_path / "got").write_bytes(taken[0])
    assert read_safetensors(tmp_path / "got") == TENSORS


def test_a_pipe_without_a_reader(store, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused("restore", store, "-o", tmp_path / "pipe", says="start the reader first", code=IO)
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


def test_stdout_takes_the_bytes(store, tmp_path):
    """Of a pipe; what is told of the work goes to stderr."""
    result = subprocess.run([BINARY, "restore", store, "-o", "/dev/stdout"], capture_output=True)
    assert result.returncode == 0 and b"1 tensors" in result.stderr
    (tmp_path / "got").write_bytes(result.stdout)
    assert read_safetensors(tmp_path / "got") == TENSORS
    script = '"$0" restore "$1" -o >(cat > "$2"); wait $!'
    subprocess.run(["bash", "-c", script, BINARY, store, tmp_path / "cat"], check=True)
    assert read_safetensors(tmp_path / "cat") == TENSORS


def test_nodes_stay_what_they_are(store, tmp_path):
    node = tmp_path / "null"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("may not make nodes here")
    bitsnap("restore", store, "-o", node)
    bitsnap("restore", store, "-o", node, "--force")
    assert stat.S_ISCHR(node.lstat().st_mode)


def test_a_socket_is_refused(store, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        refused("restore", store, "-o", tmp_path / "s", "--force", says="neither a file nor a pipe")
    assert stat.S_ISSOCK((tmp_path / "s").lstat().st_mode)


def torch_file(path):
    torch.save({"w": torch.zeros(3)}, path)


def old_torch_file(path):
    torch.save({"w": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)


def lfs_pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


@pytest.mark.parametrize(
    "make, says",
    [
        (torch_file, "torch.save"),
        (old_torch_file, "pickle"),
        (lambda path: zipfile.ZipFile(path, "w").writestr("a", "b"), "zip"),
        (lambda path: np.save(path.open("wb"), np.zeros(3)), "numpy"),
        (lfs_pointer, "git lfs pull"),
        (lambda path: path.write_bytes(b"GGUF" + bytes(60)), "GGUF"),
    ],
    ids=["torch", "old torch", "zip", "numpy", "lfs", "gguf"],
)
def test_other_kinds_of_files(tmp_path, make, says):
    make(tmp_path / "model.pt")
    refused("save", tmp_path / "store", tmp_path / "model.pt", "--step", 1, says=says)
    refused("bench", tmp_path / "model.pt", says=says)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "names, says",
    [
        ([], "it is empty"),
        (["model.safetensors.index.json", "m-1.safetensors"], "/model.safetensors.index.json"),
        (["model.safetensors", "config.json"], "/model.safetensors"),
        (["a.safetensors", "b.safetensors"], "--rank"),
        ([".metadata", "__0_0.distcp"], "torch.distributed.checkpoint"),
        (["pytorch_model.bin"], "Checkpointer"),
        (["step-00000001"], "BitSnap store"),
        (["notes.txt"], "no .safetensors file"),
    ],
)
def test_a_folder_given_to_save(tmp_path, names, says):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}")
    refused("save", tmp_path / "store", folder, "--step", 1, says=says)
    assert not (tmp_path / "store").exists()
