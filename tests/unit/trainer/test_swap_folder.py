"""A rank's folder on a fast disk: gone at the end, and removed by others once its process is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.training_service.trainer import swap_folder

HOLD = """
import sys, time
from pathlib import Path
from services.training_service.trainer import swap_folder
with swap_folder.made_in(Path(sys.argv[1])) as folder:
    (folder / "weights.swp").write_bytes(b"0" * 1000)
    print(folder.name, flush=True)
    time.sleep(600)
"""


def test_it_is_removed_where_the_training_breaks_off(tmp_path: Path) -> None:
    def train() -> None:
        with swap_folder.made_in(tmp_path) as folder:
            (folder / "weights.swp").write_bytes(b"0")
            raise MemoryError

    with pytest.raises(MemoryError):
        train()
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    (tmp_path / "somebody-elses").mkdir()
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            name = holder.stdout.readline().strip()
            swap_folder.clear(tmp_path)
            assert (tmp_path / name / "weights.swp").exists()
        finally:
            holder.kill()
    assert (tmp_path / name).exists()
    with swap_folder.made_in(tmp_path) as folder:
        assert {path.name for path in tmp_path.iterdir()} == {"somebody-elses", folder.name}


def test_what_is_wrong_with_a_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(directory: str) -> str:
        problem = swap_folder.problem_of(directory, "AIFT_DISK_OFFLOAD_DIR")
        if problem is None:
            return ""
        assert problem.field in problem.en
        assert problem.field in problem.ja
        return problem.reason

    assert told(str(tmp_path)) == ""
    assert told("") == "NO_DISK_OFFLOAD_DIR"
    assert told(str(tmp_path / "none")) == "NO_SUCH_DIRECTORY"
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert told(str(tmp_path)) == "DIRECTORY_NOT_WRITABLE"
