"""NVIDIA GPUs as `nvidia-smi` tells them."""

import asyncio
import csv
import logging
import shutil
from contextlib import suppress

from aift.training.v1 import training_pb2 as pb

log = logging.getLogger(__name__)

_QUERY = "index,name,memory.total,memory.used,utilization.gpu"
_MIB = 1 << 20
_WITHIN_S = 10.0
_DEATH_WITHIN_S = 1.0


async def gpus() -> list[pb.Gpu]:
    """The GPUs of this machine; none where there is no driver or it does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    argv = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        log.warning("nvidia-smi cannot be started: %s", error.strerror)
        return []
    try:
        async with asyncio.timeout(_WITHIN_S):
            output, complaint = await process.communicate()
    except TimeoutError:
        log.warning("nvidia-smi did not answer within %.0f s", _WITHIN_S)
        return []
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode != 0:
        log.warning("nvidia-smi failed: %s", (complaint or output).decode(errors="replace").strip()[:500])
        return []
    try:
        return parse(output.decode())
    except ValueError:
        log.warning("nvidia-smi says what is not understood: %s", output[:500])
        return []


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills it, and waits no longer than it takes: one that hangs in the driver cannot even be killed."""
    process.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(_DEATH_WITHIN_S):
            await process.wait()


def parse(table: str) -> list[pb.Gpu]:
    """Lines of `nvidia-smi --query-gpu`: MiB and per cent. What a GPU does not tell ("[N/A]") counts as 0."""
    rows = csv.reader(table.splitlines(), skipinitialspace=True)
    return [
        pb.Gpu(
            index=int(index),
            model=name,
            memory_total_bytes=int(_number(total) * _MIB),
            memory_used_bytes=int(_number(used) * _MIB),
            utilization=_number(use) / 100,
        )
        for index, name, total, used, use in rows
    ]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
