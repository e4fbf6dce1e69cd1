"""The supervisor as a process."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
REAL_UP = (sys.executable, "-m", "services.embedded")
DUMMY_UP = (sys.executable, str(Path(__file__).parent / "dummy_up.py"))
# With bytecode, as for users: many short commands would otherwise compile everything again.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT |= {"LANG": "C.UTF-8"}


class Machine:
    """One state directory and the command line on it."""

    def __init__(self, state: Path, program: tuple[str, ...]) -> None:
        self.state = state
        self._program = program
        self._started: list[subprocess.Popen[str]] = []

    def command(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """One command, to its end."""
        return subprocess.run(
            [*self._program, *arguments, "--state-dir", str(self.state)],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
            cwd=ROOT,
            env={**ENVIRONMENT, **environment},
        )

    def start(self, *options: str) -> "subprocess.Popen[str]":
        """`up` in the foreground, not waited for."""
        process = subprocess.Popen(
            [*self._program, "up", "--json", "--state-dir", str(self.state), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
        self._started.append(process)
        return process

    @property
    def foreground(self) -> "subprocess.Popen[str]":
        """The last `up` in the foreground."""
        return self._started[-1]

    def up(self, *options: str) -> "tuple[subprocess.Popen[str], dict[str, Any]]":
        """`up` in the foreground; the process and what it told when all was healthy."""
        process = self.start(*options or ("--ports", "auto"))
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate()[1])
        return process, json.loads(line)

    def status(self) -> dict[str, Any]:
        """What `status --json` says; {} when nothing runs or it has just begun."""
        done = self.command("status", "--json")
        told: dict[str, Any] = json.loads(done.stdout)
        return {} if "error" in told else told

    def end(self) -> None:
        """Stop what a failed test left."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=200)


@pytest.fixture
def dummies(state_dir: Path) -> Iterator[Machine]:
    """PostgreSQL and dummy services."""
    machine = Machine(state_dir / "state", DUMMY_UP)
    yield machine
    machine.end()


@pytest.fixture
def real(state_dir: Path) -> Iterator[Machine]:
    """Everything, as a user starts it."""
    machine = Machine(state_dir / "state", REAL_UP)
    yield machine
    machine.end()


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    """Everything, started once for the tests of a module that leave it healthy."""
    parent = Path(tempfile.mkdtemp(prefix="aift-"))
    parent.chmod(0o711)  # PostgreSQL's user, when we are root, must pass through
    machine = Machine(parent / "state", REAL_UP)
    machine.up()
    yield machine
    machine.end()
    shutil.rmtree(parent)


def eventually(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def until() -> Callable[..., None]:
    """`eventually`, for tests."""
    return eventually
