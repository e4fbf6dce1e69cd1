"""DeepSpeed's library for disks, which takes minutes to compile: tests that need it run where that was done before."""

import pytest

from services.training_service.trainer import disk_library
from tests.programs import MARK


def needed() -> None:
    """Skips the test, and says how to have it run."""
    if not all((disk_library._folder(part) / f"{part}.so").is_file() for part in disk_library._PARTS):
        pytest.skip(f"{MARK} DeepSpeed's library for disks, compiled by python -m {disk_library.__name__}")
