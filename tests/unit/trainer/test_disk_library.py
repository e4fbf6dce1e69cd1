"""DeepSpeed's library for disks: what a killed build leaves stops nobody, and what lacks for a build is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.training_service.trainer import disk_library


def test_locks_of_a_killed_build_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_library, "_folder", lambda part: tmp_path / part)
    locks = [tmp_path / part / "lock" for part in disk_library._PARTS]
    for lock in locks:
        lock.parent.mkdir()
        lock.touch()
    with disk_library._alone():
        assert not any(lock.exists() for lock in locks)


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", disk_library.__name__],
        env={**os.environ, "PATH": str(tmp_path), "TORCH_EXTENSIONS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert all("libaio-dev" in told[language] and "g++" in told[language] for language in ("en", "ja"))
