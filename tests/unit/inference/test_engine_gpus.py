"""Which GPU an engine gets, and that training and engines keep out of each other's way."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from services.core import devices
from services.core.cache_room import Bounds, CacheRoom
from services.core.file_cache import FileCache
from services.inference_service.domain import Loaded, LoadState, Source
from services.inference_service.engine_process import EngineProcess
from services.inference_service.errors import GpusBusy
from services.inference_service.gpus import Gpus, Place, chosen
from services.inference_service.pool import IdleSeconds, ModelPool

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


async def test_a_gpu_that_a_job_waits_for_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus, locks = machine(tmp_path, monkeypatch, LISTED), tmp_path / "locks"
    devices.want(locks, ["gpu-0"])
    assert (await gpus.take()).gpu == 1
    devices.want_no_more(locks, ["gpu-0", "gpu-1"])
    assert (await gpus.take()).gpu == 0
    devices.want(locks, ["gpu-0"])
    os.utime(locks / "gpu-0.wanted", (1, 1))  # by a worker that has gone
    assert not gpus.is_wanted(0)


async def test_an_idle_engine_gives_its_gpu_back_when_a_job_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = machine(tmp_path, monkeypatch, LISTED)
    place = await gpus.take()
    pool, engine = idle_pool(gpus, place)
    idle = IdleSeconds(in_memory=3600, on_gpu=3600)
    await pool.unload_idle(idle, set())
    assert (free(tmp_path), engine.stopped) == (["gpu-1"], False)
    devices.want(tmp_path / "locks", ["gpu-0"])
    await pool.unload_idle(idle, {("t", "models/kept")})
    assert engine.stopped is False
    await pool.unload_idle(idle, set())
    assert (free(tmp_path), engine.stopped) == (["gpu-0", "gpu-1"], True)


class Engine:
    """An engine's process, as far as memory is looked after."""

    def __init__(self, place: Place) -> None:
        self.gpu, self._place, self.stopped = place.gpu, place, False

    async def stop(self) -> None:
        self.stopped = True
        self._place.give_back()


def idle_pool(gpus: Gpus, place: Place, cache: FileCache | None = None) -> tuple[ModelPool, Engine]:
    """A pool with one model that nobody uses."""
    unused: Any = None
    pool, engine = ModelPool(unused, cache or FileCache(Path("unused")), unused, gpus, unused), Engine(place)
    source = Source(
        name="models/kept", weights_name="baseModels/a", weights_digest="d", adapter=False, template_json="{}"
    )
    minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    pool._models["t", source.name] = Loaded(source=source, state=LoadState.READY, last_used_time=minute_ago)
    pool._engines["d"] = cast("EngineProcess", engine)
    return pool, engine


async def test_files_of_a_loaded_model_stay_until_it_is_unloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = machine(tmp_path, monkeypatch, LISTED)
    folder = tmp_path / "cache" / "d"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(bytes(1 << 16))
    cache, room = FileCache(folder.parent), CacheRoom([folder.parent], Bounds(max_bytes=1, free_bytes=0))
    assert cache.use("d")
    pool, _ = idle_pool(gpus, await gpus.take(), cache)
    room.make(0)
    assert folder.is_dir()
    assert await pool.unload("t", "models/kept")
    room.make(0)
    assert not folder.exists()


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
