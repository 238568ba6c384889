"""scripts/setup-debian.sh: silent when nothing is missing; else installs, or says who can."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = (Path(__file__).parents[2] / "scripts/setup-debian.sh").read_text()

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-query"), reason="not a Debian")


def run(*packages, user=()):
    command = [*user, "bash", "-s", *packages]
    return subprocess.run(command, input=SCRIPT, capture_output=True, text=True, cwd="/")


def test_silent_when_nothing_is_missing():
    result = run("bash", "dpkg")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not install")
def test_tells_who_may_not_install():
    result = run("bash", "no-such-package", "nor-this", user=["runuser", "-u", "nobody", "--"])
    assert result.returncode == 1
    assert "An administrator can: apt-get install no-such-package nor-this\n" in result.stderr
