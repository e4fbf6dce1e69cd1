"""Every command shows its help, in both languages."""

import os
import subprocess
import sys

import pytest

_ALL = """
from aift.cli.app import app
from typer.main import get_command
from typer.testing import CliRunner

def walk(command, path):
    yield path
    for name, child in getattr(command, "commands", {}).items():
        if child.callback is None or child.callback.__module__ != "aift.cli.embedded":  # those become another program
            yield from walk(child, [*path, name])

for path in walk(get_command(app), []):
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0, (path, done.exception)
    print(" ".join(path))
"""


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_command_has_help(language: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALL], env={**os.environ, "AIFT_LANG": language}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {"data prepare", "train", "models download", "sweep"} <= set(done.stdout.splitlines())
