"""The inference service over a real socket with real engine processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from aift.inference.v1 import inference_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.core import devices
from tests.integration.inference.conftest import Running, Start
from tests.processes import descendants

PROMPT = "質問: 日本の首都はどこですか？\n回答: "
GREEDY = pb.Sampling(temperature=0, max_new_tokens=12)


def ask(model: str = "baseModels/tiny", prompt: str = PROMPT, sampling: pb.Sampling = GREEDY) -> pb.GenerateRequest:
    return pb.GenerateRequest(model=model, prompt=prompt, raw=True, sampling=sampling)


async def generate(running: Running, request: pb.GenerateRequest, timeout_s: float = 120) -> pb.GenerateResponse:
    answer = await running.stub.Generate(request, metadata=running.metadata, timeout=timeout_s)
    assert isinstance(answer, pb.GenerateResponse)
    return answer


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for detail in status.details if status else ():
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = kind()
            if detail.Unpack(message):
                found[kind.__name__] = message
    return found


async def refused(running: Running, request: pb.GenerateRequest) -> tuple[grpc.StatusCode, str, list[str]]:
    """Code, reason and fields of the refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await generate(running, request)
    found = details(caught.value)
    fields = [violation.field for violation in found["BadRequest"].field_violations] if "BadRequest" in found else []
    return caught.value.code(), found["ErrorInfo"].reason, fields


def engines() -> list[psutil.Process]:
    return descendants("services.inference_service.engines")


async def test_a_base_model_and_its_adapters_answer_at_the_same_time(start: Start) -> None:
    running = await start()
    names = ["baseModels/tiny", "models/demo/versions/1", "models/demo/versions/2", "models/demo@production"]
    answers = await asyncio.gather(*(generate(running, ask(name)) for name in names))
    assert [answer.model for answer in answers] == [*names[:3], "models/demo/versions/1"]
    assert len({answer.text for answer in answers[:3]}) == 3
    assert answers[3].text == answers[1].text
    assert len(engines()) == 1, "adapters share the engine of their base"
    assert all(0 < answer.usage.completion_tokens <= 12 for answer in answers)

    running.registry.production = 2
    await asyncio.sleep(1.1)
    assert (await generate(running, ask("models/demo@production"))).text == answers[2].text

    await check_streams(running)
    await check_seeds(running)
    await check_refusals(running)
    await check_cancel(running)
    await check_engine_death(running)


async def check_streams(running: Running) -> None:
    whole = await generate(running, ask())
    pieces = [piece async for piece in running.stub.GenerateStream(ask(), metadata=running.metadata)]
    assert pieces[0].model == "baseModels/tiny"
    assert "".join(piece.text for piece in pieces) == whole.text
    assert [piece.finish_reason for piece in pieces[:-1]] == [pb.FINISH_REASON_UNSPECIFIED] * (len(pieces) - 1)
    assert pieces[-1].finish_reason == whole.finish_reason
    stopped = await generate(
        running, ask(sampling=pb.Sampling(temperature=0, max_new_tokens=12, stop=[whole.text[2:4]]))
    )
    assert stopped.text == whole.text[: whole.text.index(whole.text[2:4])]
    assert stopped.finish_reason == pb.FINISH_REASON_STOP


async def check_seeds(running: Running) -> None:
    hot = pb.Sampling(temperature=1.5, top_p=1, max_new_tokens=12, seed=5)
    first, second = await asyncio.gather(generate(running, ask(sampling=hot)), generate(running, ask(sampling=hot)))
    assert first.text == second.text
    drawn = await generate(running, ask(sampling=pb.Sampling(temperature=1.5, top_p=1, max_new_tokens=12)))
    assert drawn.seed != 5
    assert drawn.text != first.text


async def check_refusals(running: Running) -> None:
    assert await refused(running, ask("models/nothing")) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", [])
    for name in ("../../etc/passwd", "models/a\0b", "models/demo/versions/0", ""):
        code, _, fields = await refused(running, ask(name))
        assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["model"])
    code, reason, _ = await refused(running, ask(prompt="質問" * 100))
    assert (code, reason) == (grpc.StatusCode.OUT_OF_RANGE, "PROMPT_TOO_LONG")
    wrong = pb.Sampling(temperature=float("nan"), top_p=0, max_new_tokens=0, repetition_penalty=9, stop=["x" * 201])
    code, _, fields = await refused(running, pb.GenerateRequest(model="baseModels/tiny", sampling=wrong))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    wanted = {"temperature", "top_p", "max_new_tokens", "repetition_penalty", "stop[0]"}
    assert set(fields) == {"prompt", *(f"sampling.{name}" for name in wanted)}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.Generate(ask())
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def check_cancel(running: Running) -> None:
    call = running.stub.GenerateStream(
        ask("models/demo/versions/2", "0", pb.Sampling(temperature=0, max_new_tokens=120)), metadata=running.metadata
    )
    await call.read()
    call.cancel()
    for _ in range(600):
        models = await running.stub.ListLoadedModels(pb.ListLoadedModelsRequest(), metadata=running.metadata)
        if not any(model.active_requests for model in models.loaded_models):
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("a cancelled call keeps its place")
    assert {model.state for model in models.loaded_models} == {pb.LOAD_STATE_READY}
    assert all(model.engine_memory_bytes > 50 << 20 for model in models.loaded_models)


async def check_engine_death(running: Running) -> None:
    (engine,) = engines()
    engine.send_signal(signal.SIGSTOP)
    call = asyncio.create_task(generate(running, ask("models/demo/versions/1")))
    await until_seen(running, lambda models: any(model.active_requests for model in models))
    engine.send_signal(signal.SIGKILL)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert details(caught.value)["ErrorInfo"].reason == "ENGINE_LOST"
    assert (await generate(running, ask("models/demo/versions/1"))).text


async def test_wanted_models_are_loaded_again_after_a_restart(start: Start) -> None:
    running = await start()
    await running.stub.LoadModel(pb.LoadModelRequest(model="models/demo@production"), metadata=running.metadata)
    await start.stop()  # type: ignore[attr-defined]
    assert engines() == []
    running = await start()
    for _ in range(600):
        models = await running.stub.ListLoadedModels(pb.ListLoadedModelsRequest(), metadata=running.metadata)
        if [model.state for model in models.loaded_models] == [pb.LOAD_STATE_READY]:
            break
        await asyncio.sleep(0.1)
    assert [model.model for model in models.loaded_models] == ["models/demo/versions/1"]
    name = pb.UnloadModelRequest(model="models/demo/versions/1")
    await running.stub.UnloadModel(name, metadata=running.metadata)
    assert engines() == []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.UnloadModel(name, metadata=running.metadata)
    assert details(caught.value)["ErrorInfo"].reason == "MODEL_NOT_LOADED"


async def test_an_engine_holds_its_gpu_as_long_as_it_lives(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '0, GPU-0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    running = await start(engine_gpu_idle_seconds=1.0)
    locks = running.settings.locks_path
    with devices.holding(locks, ["gpu-0"]):  # as a training agent does
        code, reason, _ = await refused(running, ask())
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "GPUS_BUSY")
    assert (await generate(running, ask())).text
    assert devices.free(locks, ["gpu-0"]) == []
    for engine in engines():
        engine.send_signal(signal.SIGKILL)
    await becomes_free(locks)
    assert (await generate(running, ask())).text
    # Nobody asks any more: training may have the GPU.
    await becomes_free(locks)
    assert engines() == []


async def until_seen(running: Running, wanted: Callable[[Sequence[pb.LoadedModel]], bool]) -> None:
    """Waits for what the service tells of its models."""
    async with asyncio.timeout(60):
        while True:
            models = await running.stub.ListLoadedModels(pb.ListLoadedModelsRequest(), metadata=running.metadata)
            if wanted(models.loaded_models):
                return
            await asyncio.sleep(0.02)


async def becomes_free(locks: Path) -> None:
    async with asyncio.timeout(60):
        while not devices.free(locks, ["gpu-0"]):  # noqa: ASYNC110 - the kernel has no event for it
            await asyncio.sleep(0.1)


async def test_damaged_files_are_not_loaded(start: Start) -> None:
    running = await start()
    running.registry.digests["model.safetensors"] = "0" * 64
    code, reason, _ = await refused(running, ask())
    assert (code, reason) == (grpc.StatusCode.DATA_LOSS, "MODEL_FILES_DAMAGED")
    assert engines() == []


async def test_a_full_queue_says_when_to_come_again(start: Start) -> None:
    running = await start(max_requests=1)
    first = asyncio.create_task(generate(running, ask()))
    await until_seen(running, any)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await generate(running, ask())
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details(caught.value)["RetryInfo"].retry_delay.seconds == 1
    assert (await first).text
