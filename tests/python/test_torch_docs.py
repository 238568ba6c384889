"""The examples of docs/python.md run as they stand, also a second time, which resumes."""

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "python.md"


def test_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, second = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(first, {})
    assert "step 20:" in capsys.readouterr().out
    exec(first, {})
    assert capsys.readouterr().out == ""
    exec(second, {})
