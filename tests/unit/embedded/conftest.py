"""Dummy processes to supervise."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.embedded import ports
from services.embedded.probe import HttpReady
from services.embedded.spec import ProcessSpec

MakeSpec = Callable[..., ProcessSpec]
DUMMY = Path(__file__).parent / "dummy_service.py"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def make_spec() -> MakeSpec:
    """A spec of the dummy service on a free port."""

    def make(name: str, *options: str, stage: int = 0, stop_s: float = 5.0) -> ProcessSpec:
        port = ports.choose({name: 0}, "127.0.0.1")[name]
        return ProcessSpec(
            name=name,
            argv=(sys.executable, str(DUMMY), str(port), *options),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            ready=HttpReady(f"http://127.0.0.1:{port}/readyz"),
            ports={"http": port},
            stage=stage,
            stop_s=stop_s,
        )

    return make
