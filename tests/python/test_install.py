"""The installed library is enough to build and run examples/cpp, static and shared."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command, cwd=None):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def install_static(prefix, work):
    run("cmake", "--install", ROOT / "build/release", "--prefix", prefix)


def install_shared(prefix, work):
    run(
        *("cmake", "-S", ROOT, "-B", work, "-G", "Ninja", "-D", "CMAKE_BUILD_TYPE=Release"),
        *("-D", "BUILD_SHARED_LIBS=ON", "-D", "BITSNAP_TESTS=OFF"),
    )
    run("cmake", "--build", work)
    run("cmake", "--install", work, "--prefix", prefix)


@pytest.mark.parametrize("install", [install_static, install_shared])
def test_example_against_installed_library(tmp_path, install):
    prefix, build, store = tmp_path / "prefix", tmp_path / "example", tmp_path / "store"
    install(prefix, tmp_path / "library")
    # Nothing but what was installed: not the checkout's headers, not its build folder.
    example = shutil.copytree(ROOT / "examples/cpp", tmp_path / "source")
    run("cmake", "-S", example, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)

    assert "restored step 500, all bits back" in run(build / "example", store)
    assert "all sound" in run(prefix / "bin/bitsnap", "verify", store)
