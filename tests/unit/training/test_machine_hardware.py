"""What nvidia-smi says, and what a machine without it has."""

from pathlib import Path

from services.training_service.worker import hardware

TABLE = """0, NVIDIA RTX A5000, 24564, 1, 0
1, NVIDIA H100 80GB HBM3, 81559, 40321, 97
2, Some GPU, 1024, [N/A], [N/A]
"""


def test_the_table_is_read_in_bytes_and_shares() -> None:
    first, second, third = hardware.parse(TABLE)
    assert (first.index, first.model) == (0, "NVIDIA RTX A5000")
    assert first.memory_total_bytes == 24564 << 20
    assert second.utilization == 0.97
    assert second.memory_used_bytes == 40321 << 20
    assert (third.memory_used_bytes, third.utilization) == (0, 0.0)


async def test_the_machine_tells_of_itself(tmp_path: Path) -> None:
    status = await hardware.status(tmp_path)
    assert status.cpu_count >= 1
    assert 0 <= status.cpu_utilization <= 1
    assert 0 < status.memory_used_bytes < status.memory_total_bytes
    assert status.disk_free_bytes > 0
