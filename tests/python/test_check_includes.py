"""scripts/check_includes.py catches each kind of violation (`make test` runs it on this tree)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check(tree):
    return subprocess.run(
        [sys.executable, ROOT / "scripts/check_includes.py", tree], capture_output=True, text=True
    )


@pytest.fixture
def tree(tmp_path):
    """A lawful little house."""
    files = {
        "include/bitsnap/result.h": "#include <string>\n#include <tl/expected.hpp>\n",
        "include/bitsnap/store.h": "#include <bitsnap/result.h>\n",
        "src/base/bytes.h": "#include <bitsnap/result.h>\n",
        "src/io/file.h": '#include "base/bytes.h"\n',
        "src/io/CMakeLists.txt": "bitsnap_room(io SOURCES DEPENDS base)\n",
        "src/codec/codec.h": '#include "base/bytes.h"\n',
        "src/codec/registry.cc": '#include "codec/raw/codec.h"\n',
        "src/codec/raw/codec.h": '#include "codec/codec.h"\n',
        "src/codec/entropy/rans.h": '#include "base/bytes.h"\n',
        "src/codec/planes/codec.h": '#include "codec/entropy/rans.h"\n',
        "src/codec/planes/kernel.cc": "#include <hwy/highway.h>\n",
        "src/codec/planes/codec_test.cc": '#include "codec/raw/codec.h"\n',
        "cli/main.cc": '#include <bitsnap/store.h>\n#include "cli/output.h"\n',
        "cli/output.h": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert check(tmp_path).returncode == 0, check(tmp_path).stdout
    return tmp_path


@pytest.mark.parametrize(
    "name, line, complaint",
    [
        ("src/base/a.cc", '#include "io/file.h"', "room base may not include room io"),
        ("src/base/a.cc", "#include <bitsnap/store.h>", "room base may not include room store"),
        ("src/snapshot/a.cc", '#include "codec/codec.h"', "room snapshot may not include room codec"),
        (
            "src/codec/planes/codec.cc",
            '#include "codec/raw/codec.h"',
            "room codec/planes may not include room codec/raw",
        ),
        (
            "src/codec/other.cc",
            '#include "codec/raw/codec.h"',
            "room codec may not include room codec/raw",
        ),
        (
            "src/pipeline/a.cc",
            '#include "codec/raw/codec.h"',
            "room pipeline may not include room codec/raw",
        ),
        ("src/codec/raw/codec.cc", "#  include <hwy/highway.h>", "SIMD (hwy/highway.h) belongs in"),
        ("src/io/a.cc", '#include "file.h"', "include path file.h is not rooted at src/"),
        ("src/io/a.cc", '#include "bitsnap/result.h"', "are included as <bitsnap/result.h>"),
        ("include/bitsnap/dtype.h", "#include <fmt/core.h>", "may not include third-party fmt/core.h"),
        ("include/bitsnap/dtype.h", '#include "base/bytes.h"', "may not include internal base/bytes.h"),
        ("cli/save.cc", '#include "io/file.h"', "room cli may not include internal io/file.h"),
        (
            "src/policy/plan.cc",
            "if (codec == CodecId::kRaw) return;",
            "only room codec may name a codec's id",
        ),
        ("src/io/CMakeLists.txt", "bitsnap_room(io DEPENDS base store)", "io may not depend on room store"),
        ("src/io/CMakeLists.txt", "bitsnap_room(io SOURCES a.cc)", "room io includes room base"),
    ],
)
def test_catches(tree, name, line, complaint):
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{line}\n")
    result = check(tree)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{name}:1: ") and complaint in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_sees_what_a_header_brings_along(tree):
    files = {
        "src/pipeline/encode.h": '#include "pipeline/unit.h"\n',
        "src/pipeline/unit.h": '#include "codec/codec.h"\n',
        "src/store/save.h": '#include "base/bytes.h"\n#include "pipeline/encode.h"\n',
    }
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert check(tree).stdout == (
        "src/store/save.h:2: room store reaches room codec through src/pipeline/unit.h\n"
    )
    (tree / "src/pipeline/encode.h").write_text("struct Unit;\n")
    assert check(tree).returncode == 0


def test_codec_ids_belong_to_codecs_and_tests(tree):
    for name in ("src/codec/raw/codec.cc", "src/store/save_test.cc"):
        path = tree / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("return CodecId::kRaw;\n")
    assert check(tree).returncode == 0
