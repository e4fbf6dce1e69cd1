"""The registry as a process: what it loads, what it needs, how it ends, and what it makes of broken peers."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest
from aift.registry.v1 import registry_pb2 as pb

from tests.integration.registry import tiny_model
from tests.integration.registry.conftest import Registry, RegistryProcess, tenant_of

HEAVY = ("torch", "transformers", "datasets", "pandas", "pyarrow", "huggingface_hub", "tokenizers", "safetensors")


def test_the_process_loads_nothing_heavy() -> None:
    code = f"import sys, services.registry_service.app;print([name for name in {HEAVY!r} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


async def test_memory_after_a_thousand_calls(registry: Registry) -> None:
    base = await registry.ready()
    request = pb.GetBaseModelRequest(name=base.name)
    for _ in range(20):
        await asyncio.gather(*(registry.editor.GetBaseModel(request) for _ in range(50)))
    assert registry.process.process is not None
    resident = psutil.Process(registry.process.process.pid).memory_info().rss
    assert resident < 150 << 20, f"{resident >> 20} MiB"


async def test_a_data_service_that_is_away_is_told(
    make_process: Callable[..., RegistryProcess], free_port: int
) -> None:
    process = make_process(AIFT_DATA_ADDRESS=f"127.0.0.1:{free_port}")
    await asyncio.to_thread(process.start)
    async with tenant_of(process) as registry:
        source = pb.UploadedFiles(files=await registry.uploaded(tiny_model.llama()))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await registry.editor.ImportBaseModel(pb.ImportBaseModelRequest(base_model_id="tiny", uploads=source))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await asyncio.to_thread(process.stop) == 0


async def test_an_import_from_files_survives_a_kill(make_process: Callable[..., RegistryProcess]) -> None:
    process = make_process()
    await asyncio.to_thread(process.start)
    async with tenant_of(process) as registry:
        base = await registry.ready()
        # As if the process had died between taking the import in and beginning it.
        process.sql(
            "UPDATE base_models SET state = 'IMPORTING', shape = NULL, digest = '', attempt = 1, fence = 1,"
            " lease_expires_at = clock_timestamp() + interval '1 second'"
        )
        process.sql("DELETE FROM base_model_files")
        await asyncio.to_thread(process.stop, signal.SIGKILL)
        await asyncio.to_thread(process.start)
        async with tenant_of(process) as after:
            after.tenant = registry.tenant
            made = await after.imported(base.name)
    assert (made.state, made.digest) == (pb.BASE_MODEL_STATE_READY, base.digest)


def test_it_writes_below_its_state_directory_only(directory_process: RegistryProcess, tmp_path: Path) -> None:
    assert {path.name for path in directory_process.folder.iterdir()} <= {
        *("auth", "objects", "imports", "own.token", "signing.pem", "service.log")
    }
    env = {**directory_process.environment, "HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "services.registry_service", "migrate"]
    assert subprocess.run(argv, env=env, capture_output=True, check=False).returncode == 0
    assert list(tmp_path.iterdir()) == []
