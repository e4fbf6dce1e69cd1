"""DeepSpeed's library for disks, which takes minutes to compile: tests that need it run where that was done before."""

import sysconfig
from pathlib import Path

import pytest

from services.training_service.trainer import disk_library
from tests.programs import MARK


def needed() -> None:
    """Skips the test, and says how to have it run."""
    if not all(_is_ready(disk_library._folder(part), part) for part in disk_library._PARTS):
        pytest.skip(f"{MARK} DeepSpeed's library for disks, compiled by python -m {disk_library.__name__}")


def _is_ready(folder: Path, part: str) -> bool:
    """Whether it was compiled, and for the packages of this environment: for others' it would be compiled anew."""
    build = folder / "build.ninja"
    return (folder / f"{part}.so").is_file() and sysconfig.get_path("purelib") in build.read_text()
