"""What the README says is tried as written: every block below a `tried` mark, in both languages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import programs
from tests.e2e.conftest import ROOT, System, running_system

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]

_BLOCK = re.compile(r"<!-- tried -->\n```(\w+)\n(.*?)```", re.DOTALL)
_PORTS = {"50051": "data", "50052": "training", "50053": "registry", "50054": "inference"}


def blocks(readme: str) -> list[tuple[str, str]]:
    """Language and text of each block."""
    return _BLOCK.findall((ROOT / readme).read_text(encoding="utf-8"))


def at_the_real_ports(text: str, system: System) -> str:
    """The block with the ports of the test's system instead of the usual ones."""
    for port, service in _PORTS.items():
        text = text.replace(f"127.0.0.1:{port}", system.addresses[service])
    return text


def test_both_languages_show_the_same_commands() -> None:
    def code(text: str) -> str:
        return re.sub(r"\s+#.*", "", text)

    english, japanese = blocks("README.md"), blocks("README.ja.md")
    assert [(kind, code(text)) for kind, text in english] == [(kind, code(text)) for kind, text in japanese]


@pytest.fixture(scope="module")
def fresh_system() -> Iterator[System]:
    """The system of a newcomer who types the blocks one after the other."""
    with running_system() as running:
        yield running


@pytest.mark.parametrize(("number", "kind"), list(enumerate(kind for kind, _ in blocks("README.md"))))
def test_block_works_as_written(fresh_system: System, number: int, kind: str, tmp_path: Path) -> None:
    text = at_the_real_ports(blocks("README.md")[number][1], fresh_system)
    if "grpcurl" in text:
        programs.need("grpcurl")
    script = tmp_path / "block"
    script.write_text(f"set -euo pipefail\n{text}" if kind == "bash" else text, encoding="utf-8")
    done = subprocess.run(
        ["bash" if kind == "bash" else "python", script],
        env=fresh_system.environment(),
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
