"""Our own profiles, through `bitsnap bench`: a real save into a store and a real restore."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("BITSNAP", ROOT / "build/release/bitsnap"))


def run(files: list[Path]) -> list[dict]:
    """Rows of the last file, which leans on the first where there are two."""
    command = [BINARY, "bench", *files, "--threads", "1", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    results = json.loads(done.stdout)["results"]
    return [row for result in results for row in _rows(result) if _is_of(result, files)]


def _is_of(result: dict, files: list[Path]) -> bool:
    return result["file"] == str(files[-1]) and (result["base"] is None) == (len(files) == 1)


def _rows(result: dict) -> list[dict]:
    parts = {"whole": result["whole"], **result["roles"]}
    parts.pop("other", None)
    return [
        {
            "codec": f"bitsnap {result['profile']}",
            "role": role,
            "raw_bytes": part["raw_bytes"],
            "stored_bytes": part["stored_bytes"],
            "encode_gb_s": part["encode_gb_s"],
            "decode_gb_s": part["decode_gb_s"],
            "memcpy_gb_s": result["memcpy_gb_s"],
            "relative_error": part.get("relative_error"),
            "update_error": part.get("update_error"),
            "note": part.get("codecs", ""),
        }
        for role, part in parts.items()
    ]
