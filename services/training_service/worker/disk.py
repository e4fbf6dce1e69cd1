"""The directory on a fast disk that this worker offers to trainings."""

import asyncio
import json
import logging
import shutil
import signal
import sys
from pathlib import Path

from aift.common.v1 import blob_pb2
from aift.training.v1 import training_pb2 as pb

from services.core import lifeline
from services.training_service.agent import ranks
from services.training_service.trainer import swap_folder

log = logging.getLogger(__name__)

_SETTING = "AIFT_DISK_OFFLOAD_DIR"
_LIBRARY = "services.training_service.trainer.disk_library"
_COMPILING = blob_pb2.LocalizedText(
    en="DeepSpeed's library for disks is being compiled; that takes some minutes",
    ja="DeepSpeed のディスク用ライブラリをビルド中です。数分かかります",
)
_BROKE_OFF = blob_pb2.LocalizedText(
    en="compiling DeepSpeed's library for disks broke off; restart the worker",
    ja="DeepSpeed のディスク用ライブラリのビルドが中断しました。ワーカーを再起動してください",
)


class OfferedDisk:
    """Offered once `prepare` has ended well, as long as it can be written to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lacks: blob_pb2.LocalizedText | None = _COMPILING

    async def prepare(self) -> None:
        """Compiles DeepSpeed's library before any job needs it, with what ranks see of our environment."""
        argv = [sys.executable, "-m", _LIBRARY]
        process = await lifeline.spawn(argv, env=ranks.environment(), stdout=asyncio.subprocess.PIPE)
        try:
            said, _ = await process.communicate()
        finally:
            lifeline.signal_group(process.pid, signal.SIGKILL)
        self._lacks = None if process.returncode == 0 else _reason(said.decode(errors="replace"))
        if self._lacks is not None:
            log.warning("nothing is offloaded to %s: %s", self._directory, self._lacks.en)

    def status(self) -> pb.DiskOffload:
        """The directory now."""
        offer = pb.DiskOffload(directory=str(self._directory))
        if problem := swap_folder.problem_of(str(self._directory), _SETTING):
            offer.problem.CopyFrom(blob_pb2.LocalizedText(en=problem.en, ja=problem.ja))
        elif self._lacks is not None:
            offer.problem.CopyFrom(self._lacks)
        else:
            offer.free_bytes = shutil.disk_usage(self._directory).free
        return offer

    def clear(self) -> None:
        """Removes what killed attempts left."""
        if self._directory.is_dir():
            swap_folder.clear(self._directory)


def _reason(said: str) -> blob_pb2.LocalizedText:
    """What the library's last line says, after whatever compilers said."""
    try:
        return blob_pb2.LocalizedText(**json.loads(said.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        return _BROKE_OFF
