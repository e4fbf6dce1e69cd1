"""Which GPU an engine gets, and that training and engines keep out of each other's way."""

from pathlib import Path

import pytest

from services.core import devices
from services.inference_service.errors import GpusBusy
from services.inference_service.gpus import Gpus, chosen

LISTED = "0, GPU-aaaa-1\n1, GPU-bbbb-2\n"


def machine(folder: Path, monkeypatch: pytest.MonkeyPatch, listed: str) -> Gpus:
    """A machine whose nvidia-smi tells of these GPUs."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{listed}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Gpus(folder / "locks")


def free(folder: Path) -> list[str]:
    return devices.free(folder / "locks", ["gpu-0", "gpu-1"])


async def test_each_engine_gets_a_free_gpu_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = machine(tmp_path, monkeypatch, LISTED)
    first = await gpus.take()
    assert (first.gpu, free(tmp_path)) == (0, ["gpu-1"])
    assert first.environment == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}
    second = await gpus.take()
    assert (second.gpu, free(tmp_path)) == (1, [])
    first.give_back()
    assert free(tmp_path) == ["gpu-0"]
    second.give_back()
    assert free(tmp_path) == ["gpu-0", "gpu-1"]


async def test_engines_share_what_they_have_and_leave_training_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = machine(tmp_path, monkeypatch, LISTED)
    with devices.holding(tmp_path / "locks", ["gpu-0"]):
        first, second = await gpus.take(), await gpus.take()
        assert (first.gpu, second.gpu) == (1, 1)
        first.give_back()
        assert free(tmp_path) == []
        second.give_back()
        assert free(tmp_path) == ["gpu-1"]


async def test_without_a_free_gpu_it_says_when_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = machine(tmp_path, monkeypatch, LISTED)
    with devices.holding(tmp_path / "locks", ["gpu-0", "gpu-1"]), pytest.raises(GpusBusy) as caught:
        await gpus.take()
    assert caught.value.retry_after_s
    assert (await gpus.take()).gpu == 0


async def test_without_gpus_the_processor_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = machine(tmp_path, monkeypatch, "")
    with devices.holding(tmp_path / "locks", [devices.CPU]):
        place = await gpus.take()
    assert (place.gpu, list(place.locks), place.environment["CUDA_VISIBLE_DEVICES"]) == (None, [], "")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, [0, 1]), ("", []), ("1", [1]), ("1,0", [1, 0]), ("GPU-bbbb", [1]), ("7", [])],
)
def test_what_the_environment_leaves_to_us(visible: str | None, expected: list[int]) -> None:
    assert chosen(LISTED, visible) == expected
