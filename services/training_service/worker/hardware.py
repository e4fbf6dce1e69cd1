"""What this machine has and uses: processor, memory, disk, and NVIDIA GPUs where `nvidia-smi` is there."""

import asyncio
import csv
import logging
import shutil
from importlib.util import find_spec
from pathlib import Path

import psutil
from aift.training.v1 import training_pb2 as pb

log = logging.getLogger(__name__)

_LIBRARIES = ("bitsandbytes", "deepspeed")
_QUERY = "index,name,memory.total,memory.used,utilization.gpu"
_MIB = 1 << 20
_WITHIN_S = 10.0


async def status(directory: Path) -> pb.MachineStatus:
    """The machine now; processor use since the last call. `directory` names the disk."""
    memory = psutil.virtual_memory()
    return pb.MachineStatus(
        cpu_count=psutil.cpu_count() or 1,
        cpu_utilization=psutil.cpu_percent() / 100,
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.total - memory.available,
        disk_free_bytes=shutil.disk_usage(directory).free,
        gpus=await gpus(),
        libraries=[name for name in _LIBRARIES if find_spec(name)],
    )


async def gpus() -> list[pb.Gpu]:
    """The NVIDIA GPUs; none where there is no driver or it does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    argv = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            output, complaint = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        log.warning("nvidia-smi did not answer within %.0f s", _WITHIN_S)
        return []
    if process.returncode != 0:
        log.warning("nvidia-smi failed: %s", (complaint or output).decode(errors="replace").strip()[:500])
        return []
    return parse(output.decode())


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
