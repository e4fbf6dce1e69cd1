"""What nvidia-smi says, and what a machine without it has."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from services.training_service import nvidia_smi
from services.training_service.agent import gpu_usage
from services.training_service.agent.gpu_usage import GpuUsage
from services.training_service.worker import hardware

TABLE = """0, NVIDIA RTX A5000, 24564, 1, 0
1, NVIDIA H100 80GB HBM3, 81559, 40321, 97
2, Some GPU, 1024, [N/A], [N/A]
"""
Program = Callable[[str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """`program(script)` is the only `nvidia-smi` on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def write(script: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


def test_the_table_is_read_in_bytes_and_shares() -> None:
    first, second, third = nvidia_smi.parse(TABLE)
    assert (first.index, first.model) == (0, "NVIDIA RTX A5000")
    assert first.memory_total_bytes == 24564 << 20
    assert second.utilization == 0.97
    assert second.memory_used_bytes == 40321 << 20
    assert (third.memory_used_bytes, third.utilization) == (0, 0.0)


async def test_a_program_that_fails_or_hangs_shows_no_gpus(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("echo '0, NVIDIA RTX A5000, 24564, 1, 0'")
    assert [gpu.model for gpu in await nvidia_smi.gpus()] == ["NVIDIA RTX A5000"]
    for script in ("echo 'no devices were found'; exit 6", "echo 'something else'"):
        program(script)
        assert await nvidia_smi.gpus() == []
    monkeypatch.setattr(nvidia_smi, "_WITHIN_S", 0.2)
    program("exec sleep 60")
    assert await nvidia_smi.gpus() == []


async def test_the_use_of_an_attempts_own_gpus_is_gathered(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_usage, "_EVERY_S", 0.01)
    program(f"echo look >> {tmp_path / 'looks'}; cat {tmp_path / 'table'}")

    async def look(*rows: tuple[int, int]) -> None:
        """Two looks at GPUs 0, 1, … with this memory in MiB and use in per cent."""
        lines = [f"{index}, NVIDIA H100, 81559, {used}, {share}\n" for index, (used, share) in enumerate(rows)]
        (tmp_path / "table.new").write_text("".join(lines))
        (tmp_path / "table.new").rename(tmp_path / "table")
        (tmp_path / "looks").unlink(missing_ok=True)
        watching = asyncio.create_task(usage.watch())
        async with asyncio.timeout(60):
            while not (tmp_path / "looks").exists() or (tmp_path / "looks").read_text().count("look") < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    usage = GpuUsage([0, 2])
    assert usage.figures() == {}
    await look((100, 90), (70_000, 100), (300, 70))
    first = {"gpu_utilization": pytest.approx(0.8), "gpu_memory_used_bytes": float(300 << 20)}
    assert usage.figures() == first
    assert usage.figures() == first, "nothing newer was seen"
    await look((50, 10), (70_000, 100), (40, 30))
    assert usage.figures() == {"gpu_utilization": pytest.approx(0.2), "gpu_memory_used_bytes": float(50 << 20)}


async def test_without_gpus_nobody_looks(program: Program, tmp_path: Path) -> None:
    program(f"touch {tmp_path / 'looked'}")
    usage = GpuUsage([])
    await usage.watch()
    assert usage.figures() == {}
    assert not (tmp_path / "looked").exists()


async def test_the_machine_tells_of_itself(tmp_path: Path) -> None:
    status = await hardware.status(tmp_path)
    assert status.cpu_count >= 1
    assert 0 <= status.cpu_utilization <= 1
    assert 0 < status.memory_used_bytes < status.memory_total_bytes
    assert status.disk_free_bytes > 0
