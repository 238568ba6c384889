"""The type stub names exactly what the native module has."""

import ast
import re
from pathlib import Path

import pytest

import bitsnap
from bitsnap import _native

STUB = ast.parse((Path(bitsnap.__file__).parent / "_native.pyi").read_text())
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_stub_has_all_classes():
    assert set(CLASSES) == {n for n, v in vars(_native).items() if isinstance(v, type)}


@pytest.mark.parametrize("name", CLASSES)
def test_stub_has_all_members_and_their_parameters(name):
    native = getattr(_native, name)
    functions = {n.name: n for n in CLASSES[name].body if isinstance(n, ast.FunctionDef)}
    assert public(functions) == public(vars(native))
    for function in functions.values():
        if function.decorator_list:
            continue
        arguments = [a.arg for a in function.args.args + function.args.kwonlyargs]
        signature = getattr(native, function.name).__nb_signature__[0][0]
        found = ast.parse(re.sub(r"\\\d+", "...", signature) + ": ...").body[0].args  # defaults
        assert arguments == [a.arg for a in found.args + found.kwonlyargs], signature
