"""DeepSpeed's library for reading and writing a disk, which is compiled on a machine's first use of it.

    python -m services.training_service.trainer.disk_library

compiles it ahead, which takes minutes, and ends with 0; else with 1 after a line of JSON that says why it cannot be had.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.training_service.trainer.failures import ConfigurationError, configuration

_PARTS = ("pin_memory", "async_io")


def load(field: str) -> None:
    """Loads the library into this process, compiled before where it has to be. Raises ConfigurationError for `field`."""
    import torch

    # The ninja beside this very Python: another version of it would compile everything anew.
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    try:
        from deepspeed.ops.op_builder import AsyncIOBuilder

        with _alone():
            AsyncIOBuilder().load(verbose=False)
    except Exception as error:  # whatever a compiler may lack
        raise _not_to_be_had(field, error) from error


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else of ours compiles or loads meanwhile. torch's own locks are files that a killed process leaves behind,
    and everybody waits for them without end; those that are still there now are nobody's."""
    folders = [_folder(part) for part in _PARTS]
    with (folders[0].parent / "aift.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for folder in folders:
            (folder / "lock").unlink(missing_ok=True)
        yield


def _folder(part: str) -> Path:
    from torch.utils import cpp_extension

    return Path(cpp_extension._get_build_directory(part, verbose=False))  # noqa: SLF001 - torch tells it nowhere else


def _not_to_be_had(field: str, error: Exception) -> ConfigurationError:
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return configuration(
        "DISK_LIBRARY_MISSING",
        field,
        f"{field} needs DeepSpeed's library for disks, which cannot be compiled here ({why}); install libaio-dev, g++ and "
        "ninja, with GPUs the CUDA toolkit too, or offload to cpu",
        f"{field} に必要な DeepSpeed のディスク用ライブラリをビルドできません（{why}）。libaio-dev、g++、ninja（GPU では "
        "CUDA toolkit も）を入れるか、cpu へオフロードしてください",
    )


def main() -> int:
    """Compiles and loads it; 0 where that went well."""
    os.nice(10)  # trainings run beside it
    if "AIFT_LIFELINE_FD" in os.environ:
        from services.core import lifeline

        lifeline.attach(grace_s=0)
    if importlib.util.find_spec("deepspeed") is None:
        en, ja = (
            "DeepSpeed is not installed; pip install 'aift[deepspeed]'",
            "DeepSpeed がありません。pip install 'aift[deepspeed]'",
        )
        return _tell(en, ja)
    try:
        load("AIFT_DISK_OFFLOAD_DIR")
    except ConfigurationError as error:
        return _tell(error.problems[0].en, error.problems[0].ja)
    return 0


def _tell(en: str, ja: str) -> int:
    sys.stdout.write(json.dumps({"en": en, "ja": ja}) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
