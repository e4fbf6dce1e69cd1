"""InferenceService: proto to domain and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from aift.common.v1 import blob_pb2
from aift.inference.v1 import inference_pb2 as pb
from aift.inference.v1 import inference_pb2_grpc

from services.core import context, names
from services.core.errors import DomainError, InvalidArgument, Violation
from services.inference_service.domain import Breach, Loaded, LoadState, Sampling, breaches
from services.inference_service.engines import protocol
from services.inference_service.errors import ModelNotLoaded
from services.inference_service.generator import Ask, Generator, Started
from services.inference_service.pool import ModelPool
from services.inference_service.sources import Sources
from services.inference_service.store import WantedModels

_FINISH = {"stop": pb.FINISH_REASON_STOP, "length": pb.FINISH_REASON_LENGTH}
_STATE = {
    LoadState.LOADING: pb.LOAD_STATE_LOADING,
    LoadState.READY: pb.LOAD_STATE_READY,
    LoadState.FAILED: pb.LOAD_STATE_FAILED,
}
_MODEL_PATTERNS = ("baseModels/{base_model}", "models/{model}/versions/{n}", "models/{model}@{alias}", "models/{model}")
_MAX_PROMPT_CHARACTERS = 1_000_000
Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Thin: everything is decided in the generator and the pool."""

    def __init__(self, generator: Generator, sources: Sources, pool: ModelPool, wanted: WantedModels) -> None:
        self._generator = generator
        self._sources = sources
        self._pool = pool
        self._wanted = wanted

    async def Generate(self, request: pb.GenerateRequest, _: Context) -> pb.GenerateResponse:
        response = pb.GenerateResponse()
        texts: list[str] = []
        async with aclosing(self._generator.stream(_ask(request))) as pieces:
            async for piece in pieces:
                match piece:
                    case Started():
                        response.model, response.seed = piece.model, piece.seed
                    case protocol.Text():
                        texts.append(piece.text)
                    case protocol.End():
                        response.finish_reason = _FINISH[piece.finish]
                        response.usage.CopyFrom(_usage(piece))
        response.text = "".join(texts)
        return response

    async def GenerateStream(self, request: pb.GenerateRequest, _: Context) -> AsyncIterator[pb.GenerateStreamResponse]:
        async with aclosing(self._generator.stream(_ask(request))) as pieces:
            async for piece in pieces:
                yield _stream_response(piece)

    async def LoadModel(self, request: pb.LoadModelRequest, _: Context) -> pb.LoadedModel:
        tenant = context.current().tenant
        source = await self._sources.resolve(_model(request.model))
        await self._wanted.add(tenant, source.name)
        return self._loaded_model(self._pool.request(tenant, source))

    async def UnloadModel(self, request: pb.UnloadModelRequest, _: Context) -> pb.UnloadModelResponse:
        tenant = context.current().tenant
        name = _model(request.model)
        wanted = await self._wanted.remove(tenant, name)
        if not await self._pool.unload(tenant, name) and not wanted:
            raise ModelNotLoaded(model=name)
        return pb.UnloadModelResponse()

    async def ListLoadedModels(self, _request: pb.ListLoadedModelsRequest, _: Context) -> pb.ListLoadedModelsResponse:
        models = self._pool.models(context.current().tenant)
        return pb.ListLoadedModelsResponse(loaded_models=[self._loaded_model(loaded) for loaded in models])

    def _loaded_model(self, loaded: Loaded) -> pb.LoadedModel:
        message = pb.LoadedModel(
            model=loaded.source.name,
            base_model=loaded.source.weights_name,
            digest=loaded.digest,
            state=_STATE[loaded.state],
            progress=loaded.progress,
            engine_memory_bytes=self._pool.engine_memory_bytes(loaded),
            active_requests=loaded.active_requests,
        )
        message.create_time.FromDatetime(loaded.create_time)
        message.last_used_time.FromDatetime(loaded.last_used_time)
        if isinstance(loaded.failure, DomainError):
            texts = blob_pb2.LocalizedText(en=loaded.failure.text("en"), ja=loaded.failure.text("ja"))
            message.failure.CopyFrom(blob_pb2.Failure(reason=loaded.failure.reason, message=texts))
        return message


def _stream_response(piece: Started | protocol.Text | protocol.End) -> pb.GenerateStreamResponse:
    match piece:
        case Started():
            return pb.GenerateStreamResponse(model=piece.model, seed=piece.seed)
        case protocol.Text():
            return pb.GenerateStreamResponse(text=piece.text)
        case protocol.End():
            return pb.GenerateStreamResponse(finish_reason=_FINISH[piece.finish], usage=_usage(piece))


def _usage(end: protocol.End) -> pb.Usage:
    return pb.Usage(
        prompt_tokens=end.prompt_tokens,
        completion_tokens=end.completion_tokens,
        queue_seconds=end.queue_seconds,
        first_token_seconds=end.first_token_seconds,
        total_seconds=end.total_seconds,
    )


def _ask(request: pb.GenerateRequest) -> Ask:
    """The checked request. Raises InvalidArgument naming every field that is wrong."""
    sampling = _sampling(request.sampling)
    wrong = [_violation(breach) for breach in breaches(sampling)]
    if not request.prompt:
        wrong.append(
            Violation(
                "prompt", "EMPTY", "Must not be empty; write what to answer.", "空です。プロンプトを入力してください。"
            )
        )
    if len(request.prompt) + len(request.system) > _MAX_PROMPT_CHARACTERS:
        limit = f"{_MAX_PROMPT_CHARACTERS:,}"
        wrong.append(
            Violation("prompt", "TOO_LONG", f"Longer than {limit} characters.", f"{limit} 文字を超えています。")
        )
    if wrong:
        raise InvalidArgument(wrong)
    return Ask(
        tenant=context.current().tenant,
        model=_model(request.model),
        prompt=request.prompt,
        system=request.system,
        raw=request.raw,
        sampling=sampling,
    )


def _sampling(message: pb.Sampling) -> Sampling:
    """Only what was sent; the rest takes the domain's defaults."""
    sent = {name.name: value for name, value in message.ListFields() if name.name != "stop"}
    return Sampling(**sent, stop=tuple(message.stop))


def _violation(breach: Breach) -> Violation:
    return Violation(
        f"sampling.{breach.field}",
        "OUT_OF_RANGE",
        f"{breach.value} is not allowed; it must be {breach.allowed}.",
        f"{breach.value} は指定できません。許される値: {breach.allowed}。",
    )


def _model(name: str) -> str:
    """The name of something that can generate. Raises InvalidArgument."""
    if any(names.matches(pattern, name) for pattern in _MODEL_PATTERNS):
        return name
    forms = ", ".join(_MODEL_PATTERNS)
    raise InvalidArgument.field(
        "model",
        "INVALID_NAME",
        f"Must have one of the forms {forms}, got {name[:80]!r}.",
        f"次のいずれかの形式で指定してください: {forms} (指定値: {name[:80]!r})。",
    )
