"""The directory that a worker offers: once DeepSpeed's library for it is there, as long as it can be written to."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.training_service.settings import WorkerSettings
from services.training_service.worker import disk
from services.training_service.worker.disk import OfferedDisk

pytestmark = pytest.mark.asyncio


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that stands for the one that compiles the library."""
    module = tmp_path / "stands_for_library.py"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(disk, "_LIBRARY", module.stem)
    return module


async def test_it_is_offered_once_the_library_is_there(library: Path, tmp_path: Path) -> None:
    library.write_text("print('compiling')")
    offered = OfferedDisk(tmp_path)
    assert "being compiled" in offered.status().problem.en
    await offered.prepare()
    now = offered.status()
    assert not now.HasField("problem")
    assert now.directory == str(tmp_path)
    assert now.free_bytes > 0


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('print(\'c++: error\'); print(\'{"en": "install libaio-dev", "ja": "libaio-dev"}\'); exit(1)', "libaio-dev"),
        ("print('killed'); exit(1)", "restart the worker"),
        ("exit(1)", "restart the worker"),
    ],
)
async def test_why_it_is_not_offered_is_told(script: str, words: str, library: Path, tmp_path: Path) -> None:
    library.write_text(script)
    offered = OfferedDisk(tmp_path)
    await offered.prepare()
    assert words in offered.status().problem.en
    assert offered.status().free_bytes == 0


async def test_a_directory_that_goes_away_is_no_longer_offered(library: Path, tmp_path: Path) -> None:
    library.write_text("")
    directory = tmp_path / "fast"
    directory.mkdir()
    offered = OfferedDisk(directory)
    await offered.prepare()
    assert not offered.status().HasField("problem")
    directory.rmdir()
    offered.clear()
    problem = offered.status().problem
    assert "AIFT_DISK_OFFLOAD_DIR" in problem.en
    assert str(directory) in problem.ja


async def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ValidationError, match="absolute path"):
        WorkerSettings(disk_offload_dir=Path("fast"))
