"""One generation from its name to its last character."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from services.inference_service.domain import Loaded, Sampling
from services.inference_service.engine_process import EngineProcess
from services.inference_service.engines import protocol
from services.inference_service.errors import PromptTooLong, QueueFull, TemplateUnusable
from services.inference_service.pool import ModelPool
from services.inference_service.sources import Sources

_RETRY_AFTER_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is to be generated; checked already."""

    tenant: str
    model: str
    prompt: str
    system: str
    raw: bool
    sampling: Sampling


@dataclass(frozen=True, kw_only=True)
class Started:
    """The model that answers, without alias, and the seed."""

    model: str
    seed: int


class Generator:
    """Finds the model, has it loaded, and passes on what its engine says."""

    def __init__(self, sources: Sources, pool: ModelPool, max_requests: int) -> None:
        self._sources = sources
        self._pool = pool
        self._max_requests = max_requests
        self._active = 0

    async def stream(self, ask: Ask) -> AsyncGenerator[Started | protocol.Text | protocol.End, None]:
        """The model, then pieces of text, then the end. Closing the iterator frees the place.

        Raises:
            DomainError: the model does not exist or cannot be loaded, the queue is full, the prompt is too long,
                or the engine died; then what came so far is not whole.
        """
        if self._active >= self._max_requests:
            raise QueueFull(active=self._active, retry_after_s=_RETRY_AFTER_S)
        self._active += 1
        try:
            source = await self._sources.resolve(ask.model)
            loaded, engine = await self._pool.acquire(ask.tenant, source)
            yield Started(model=source.name, seed=ask.sampling.seed)
            async with aclosing(self._pieces(ask, loaded, engine)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._active -= 1

    async def _pieces(
        self, ask: Ask, loaded: Loaded, engine: EngineProcess
    ) -> AsyncGenerator[protocol.Text | protocol.End, None]:
        loaded.active_requests += 1
        try:
            async with aclosing(engine.generate(_message(ask, loaded))) as messages:
                async for message in messages:
                    if isinstance(message, protocol.Refused):
                        raise _refusal(message, ask)
                    yield message
        finally:
            loaded.active_requests -= 1
            loaded.last_used_time = datetime.now(UTC)


def _message(ask: Ask, loaded: Loaded) -> protocol.Generate:
    sampling = ask.sampling
    return protocol.Generate(
        request=uuid.uuid4().hex,
        adapter=loaded.digest if loaded.source.adapter else "",
        prompt=ask.prompt,
        system=ask.system,
        raw=ask.raw,
        template_json=loaded.source.template_json,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_new_tokens=sampling.max_new_tokens,
        repetition_penalty=sampling.repetition_penalty,
        stop=sampling.stop,
        seed=sampling.seed,
    )


def _refusal(message: protocol.Refused, ask: Ask) -> PromptTooLong | TemplateUnusable:
    if message.reason == "TEMPLATE_UNUSABLE":
        return TemplateUnusable(detail=message.detail)
    return PromptTooLong(
        prompt_tokens=message.prompt_tokens,
        max_new_tokens=ask.sampling.max_new_tokens,
        context_tokens=message.context_tokens,
    )
