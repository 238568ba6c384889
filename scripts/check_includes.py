#!/usr/bin/env python3
"""Checks the law of who may include whom, from the #include lines and from CMake's DEPENDS.

What a header includes counts for all that include the header. Checks besides that codecs' ids are
named in room codec only. Prints one line a violation and exits 1 when there is any. Takes the tree to check as its only
argument (default: this checkout).
"""

import re
import sys
from pathlib import Path

# A room is a folder of src/, or cli or python. A codec's folder (one with a codec.h) is a room of
# its own, so that `codec` means the rest: interface, registry and what codecs share.
MAY_INCLUDE = {
    "base": set(),
    "io": {"base"},
    "codec": {"base"},
    "snapshot": {"io", "base"},
    "policy": {"codec", "base"},
    "pipeline": {"codec", "snapshot", "base"},
    "planning": {"pipeline", "policy", "snapshot", "codec", "base"},
    "store": {"planning", "pipeline", "snapshot", "io", "base"},
    "engine": {"store", "planning", "pipeline", "snapshot", "io", "base"},
}
A_CODEC_MAY_INCLUDE = {"codec", "base"}
FRONT_ENDS = {"cli", "python"}  # public headers only
# bench, tests and fuzz may include anything.
FOLDERS = ("src", "include", "cli", "python")

# The room that implements a public header owns it.
PUBLIC_HEADERS = {
    "result.h": "base",
    "dtype.h": "base",
    "tensor.h": "base",
    "options.h": "base",
    "roles.h": "base",
    "lineage.h": "snapshot",
    "safetensors.h": "io",
    "store.h": "store",
    "descent.h": "store",
    "retention.h": "store",
    "saver.h": "engine",
    "agent_memory.h": "engine",
    "agent.h": "engine",
    "bitsnap.h": "engine",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")')
SIMD = re.compile(r"^(hwy/.*|arm_neon\.h|arm_sve\.h|\w*intrin\.h)$")
CODEC_ID = re.compile(r"\bCodecId::k")
DEPENDS = re.compile(r"bitsnap_room\(\s*(\w+)([^)]*)\)")


def is_test(path):
    return "test" in path.stem.split("_")


def room_of(tree, path):
    """The room of a file, given relative to the tree; None when it is not in one."""
    parts = path.parts
    if parts[0] in FRONT_ENDS:
        return parts[0]
    if parts[0] == "include":
        return PUBLIC_HEADERS.get(path.name, f"(public header {path.name} of no room)")
    if parts[0] != "src" or len(parts) < 3:
        return None
    a_codec = parts[1] == "codec" and (tree.joinpath(*parts[:3]) / "codec.h").is_file()
    return "/".join(parts[1:3]) if a_codec else parts[1]


def may_include(path, room, target):
    if room == target:
        return True
    if room.startswith("codec/"):
        return target in A_CODEC_MAY_INCLUDE
    if path.as_posix() == "src/codec/registry.cc" and target.startswith("codec/"):
        return True
    return target in MAY_INCLUDE.get(room, set())


def check_include(tree, path, token):
    """What is wrong with one include, or None; and the file of the tree it leads to, or None."""
    room, name = room_of(tree, path), token[1:-1]
    if name.startswith("bitsnap/"):
        if not (tree / "include" / name).is_file():
            return f"no public header {name}", None
        if token[0] == '"':
            return f"public headers are included as <{name}>", None
        header = Path("include") / name
        target = room_of(tree, header)
        if room in FRONT_ENDS or may_include(path, room, target):
            return None, header
        return f"room {room} may not include room {target}", None
    if SIMD.match(name):
        kernel = path.parts[0] == "src" and path.match("kernel*.cc")
        return None if kernel else f"SIMD ({name}) belongs in src/**/kernel*.cc", None
    if token[0] == "<":
        public = path.parts[0] == "include"
        if public and re.search(r"[./]", name) and name != "tl/expected.hpp":
            return f"public headers may not include third-party {name}", None
        return None, None
    if path.parts[0] == "include":
        return f"public headers may not include internal {name}", None
    root = tree if room in FRONT_ENDS else tree / "src"
    if not (root / name).is_file():
        internal = room in FRONT_ENDS and (tree / "src" / name).is_file()
        return f"room {room} may not include internal {name}" if internal else (
            f"include path {name} is not rooted at {root.relative_to(tree).as_posix()}/"), None
    header = (root / name).relative_to(tree)
    target = room_of(tree, header)
    if target is None or not may_include(path, room, target):
        return f"room {room} may not include room {target}", None
    return None, header


def reached(includes, header):
    """The headers that `header` brings along, each with the one that includes it."""
    through = {}
    rest = [header]
    while rest:
        here = rest.pop()
        for _, other in includes.get(here, ()):
            if other not in through and other != header:
                through[other] = here
                rest.append(other)
    return through


def check_reach(tree, includes):
    """Rooms that come in through a header that itself may be included."""
    for path in sorted(includes):
        room = room_of(tree, path)
        if room in FRONT_ENDS:
            continue
        told = set()
        for number, header in includes[path]:
            for other, through in sorted(reached(includes, header).items()):
                target = room_of(tree, other)
                if target in told or may_include(path, room, target):
                    continue
                told.add(target)
                yield (f"{path.as_posix()}:{number}: room {room} reaches room {target} through "
                       f"{through.as_posix()}")


def check_depends(tree, used):
    """CMake's DEPENDS must name the rooms that a room includes, and only ones that it may."""
    for cmake in sorted((tree / "src").glob("*/CMakeLists.txt")):
        for room, arguments in DEPENDS.findall(cmake.read_text()):
            listed = re.search(r"\bDEPENDS\b((?:\s+[a-z]\w*)+)", arguments)
            depends = set(listed.group(1).split()) if listed else set()
            where = f"{cmake.relative_to(tree).as_posix()}:1"
            for other in sorted(depends - MAY_INCLUDE.get(room, set())):
                yield f"{where}: room {room} may not depend on room {other}"
            for other in sorted(used.get(room, set()) - depends):
                yield f"{where}: room {room} includes room {other}, which DEPENDS does not name"


def check_lines(tree, path, includes):
    """Line by line; adds to `includes` the lawful ones, as pairs of line and file."""
    includes[path] = []
    for number, line in enumerate((tree / path).read_text().splitlines(), 1):
        if CODEC_ID.search(line) and path.parts[:2] != ("src", "codec"):
            yield f"{path.as_posix()}:{number}: only room codec may name a codec's id"
        if found := INCLUDE.match(line):
            wrong, header = check_include(tree, path, found.group(1))
            if wrong:
                yield f"{path.as_posix()}:{number}: {wrong}"
            elif header:
                includes[path].append((number, header))


def violations(tree):
    includes = {}  # by file
    for folder in FOLDERS:
        for file in sorted((tree / folder).rglob("*")):
            path = file.relative_to(tree)
            if file.suffix in {".h", ".cc"} and not is_test(path) and room_of(tree, path):
                yield from check_lines(tree, path, includes)
    yield from check_reach(tree, includes)
    used = {}  # room -> rooms that its files include
    for path, headers in includes.items():
        for header in (header for _, header in headers if path.parts[0] == "src"):
            own, other = (room_of(tree, p).split("/")[0] for p in (path, header))
            if own != other:
                used.setdefault(own, set()).add(other)
    yield from check_depends(tree, used)


def main():
    tree = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    found = list(violations(tree))
    print("\n".join(found) or "includes: every room keeps to its neighbours")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
