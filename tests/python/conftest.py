"""`--ambient` runs the tests of bitsnap.torch as a script might that set things for all of torch."""

import functools

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--ambient",
        action="store_true",
        help="call Checkpointers under a default device, on which tensors hold no values",
    )


@pytest.fixture(autouse=True)
def ambient(request, monkeypatch):
    if not request.config.getoption("--ambient"):
        return
    import torch

    from bitsnap.torch import Checkpointer

    def elsewhere(method):
        @functools.wraps(method)
        def call(*arguments, **options):
            with torch.device("meta"):
                return method(*arguments, **options)

        return call

    for name in ("prepare", "save", "restore"):
        monkeypatch.setattr(Checkpointer, name, elsewhere(getattr(Checkpointer, name)))
