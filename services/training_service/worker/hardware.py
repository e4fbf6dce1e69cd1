"""What this machine has and uses: processor, memory, disk, and NVIDIA GPUs where `nvidia-smi` is there."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import psutil
from aift.training.v1 import training_pb2 as pb

from services.training_service import nvidia_smi

_LIBRARIES = ("bitsandbytes", "deepspeed")


async def status(directory: Path) -> pb.MachineStatus:
    """The machine now; processor use since the last call. `directory` names the disk."""
    memory = psutil.virtual_memory()
    return pb.MachineStatus(
        cpu_count=psutil.cpu_count() or 1,
        cpu_utilization=psutil.cpu_percent() / 100,
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.total - memory.available,
        disk_free_bytes=shutil.disk_usage(directory).free,
        gpus=await nvidia_smi.gpus(),
        libraries=[name for name in _LIBRARIES if find_spec(name)],
    )
