"""Models in memory: one engine process per set of weights, shared by all adapters on them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.core.cache_room import CacheRoom
from services.core.errors import DomainError
from services.core.file_cache import DigestMismatch, FileCache
from services.inference_service.domain import Loaded, LoadState, Source
from services.inference_service.engine_process import EngineProcess
from services.inference_service.errors import EngineLost, ModelFilesDamaged, ModelNotLoadable
from services.inference_service.gpus import Gpus
from services.inference_service.sources import Folder, Sources

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How engine processes are started."""

    module: str
    max_rows: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class IdleSeconds:
    """How long an unused model stays: in main memory, and where it keeps a GPU from training."""

    in_memory: float
    on_gpu: float


class ModelPool:
    """What is loaded, by tenant and name; loads on demand and starts engines that died again."""

    def __init__(self, sources: Sources, cache: FileCache, room: CacheRoom, gpus: Gpus, options: EngineOptions) -> None:
        self._sources = sources
        self._cache = cache
        self._room = room
        self._gpus = gpus
        self._options = options
        self._models: dict[tuple[str, str], Loaded] = {}
        self._loads: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._engines: dict[str, EngineProcess] = {}
        self._starting: dict[str, asyncio.Lock] = {}

    def request(self, tenant: str, source: Source) -> Loaded:
        """Begins to load a model unless it is there or on its way; returns at once."""
        key = (tenant, source.name)
        loaded = self._models.get(key)
        if loaded is not None and loaded.state is not LoadState.FAILED and not self._lost(loaded):
            return loaded
        loaded = self._models[key] = Loaded(source=source)
        task = asyncio.create_task(self._load(loaded))
        self._loads[key] = task
        task.add_done_callback(lambda done: self._forget_load(key, done))
        return loaded

    async def acquire(self, tenant: str, source: Source) -> tuple[Loaded, EngineProcess]:
        """The engine that answers for a model, loaded first where needed.

        Raises:
            DomainError: it cannot be loaded.
        """
        loaded = self.request(tenant, source)
        load = self._loads.get((tenant, source.name))
        if load is not None and loaded.state is LoadState.LOADING:
            await asyncio.shield(load)
        engine = self._engines.get(source.weights_digest)
        if engine is None:
            raise EngineLost
        return loaded, engine

    def models(self, tenant: str) -> list[Loaded]:
        """Everything of a tenant, newest first."""
        own = [loaded for (owner, _), loaded in self._models.items() if owner == tenant]
        return sorted(own, key=lambda loaded: loaded.create_time, reverse=True)

    def engine_memory_bytes(self, loaded: Loaded) -> int:
        """Memory of the process that holds a model; 0 without one."""
        engine = self._engines.get(loaded.source.weights_digest)
        return engine.memory_bytes if engine is not None else 0

    @property
    def active_requests(self) -> int:
        """Requests that wait or run in all engines."""
        return sum(engine.active_requests for engine in self._engines.values())

    async def unload(self, tenant: str, name: str) -> bool:
        """Forgets a model; the engine ends with its last one. False when it was not there."""
        loaded = self._models.pop((tenant, name), None)
        if loaded is None:
            return False
        load = self._loads.pop((tenant, name), None)
        if load is not None:
            load.cancel()
        await self._release(loaded)
        return True

    async def unload_idle(self, idle: IdleSeconds, keep: set[tuple[str, str]]) -> None:
        """Forgets what nobody asked for lately, but for the models named in ``keep``."""
        now = datetime.now(UTC)
        for (tenant, name), loaded in list(self._models.items()):
            unused_s = (now - loaded.last_used_time).total_seconds()
            allowed_s = self._allowed_s(loaded, idle)
            busy = loaded.active_requests > 0 or loaded.state is LoadState.LOADING
            if unused_s > allowed_s and not busy and (tenant, name) not in keep:
                await self.unload(tenant, name)

    def _allowed_s(self, loaded: Loaded, idle: IdleSeconds) -> float:
        engine = self._engines.get(loaded.source.weights_digest)
        if engine is None or engine.gpu is None:
            return idle.in_memory
        return 0.0 if self._gpus.is_wanted(engine.gpu) else idle.on_gpu

    async def close(self) -> None:
        """Ends all engines."""
        for task in self._loads.values():
            task.cancel()
        await asyncio.gather(*(engine.stop() for engine in self._engines.values()))
        self._engines.clear()

    def _lost(self, loaded: Loaded) -> bool:
        engine = self._engines.get(loaded.source.weights_digest)
        return loaded.state is LoadState.READY and (engine is None or engine.dead.is_set())

    def _forget_load(self, key: tuple[str, str], done: asyncio.Task[None]) -> None:
        if self._loads.get(key) is done:
            del self._loads[key]
        if not done.cancelled():
            done.exception()  # told to every caller who waited; nobody may have

    async def _release(self, loaded: Loaded) -> None:
        digest = loaded.source.weights_digest
        used = {one for other in self._models.values() for one in (other.digest, other.source.weights_digest)}
        for unused in {loaded.digest, digest} - used:
            self._cache.release(unused)
        engine = self._engines.get(digest)
        if engine is None:
            return
        if not any(other.source.weights_digest == digest for other in self._models.values()):
            del self._engines[digest]
            await engine.stop()
        elif not any(other.digest == loaded.digest for other in self._models.values()):
            engine.unload_adapter(loaded.digest)

    async def _load(self, loaded: Loaded) -> None:
        try:
            await self._fetch_and_load(loaded)
        except DomainError as error:
            loaded.state, loaded.failure = LoadState.FAILED, error
            raise
        loaded.state = LoadState.READY
        _LOG.info("model loaded", extra={"model": loaded.source.name, "digest": loaded.digest})

    async def _fetch_and_load(self, loaded: Loaded) -> None:
        source = loaded.source
        weights = await self._sources.folder(source.weights_name)
        if weights.digest != source.weights_digest:
            raise ModelNotLoadable(detail=f"{source.weights_name} is no longer the one that it was trained on")
        adapter = await self._sources.folder(source.name) if source.adapter else None
        loaded.digest = adapter.digest if adapter else weights.digest
        loaded.total_bytes = weights.size_bytes + (adapter.size_bytes if adapter else 0)
        directory = await self._fetch(loaded, source.weights_name, weights, 0)
        engine = await self._engine(weights.digest, directory)
        if adapter is not None:
            directory = await self._fetch(loaded, source.name, adapter, weights.size_bytes)
            await engine.load_adapter(adapter.digest, directory)

    async def _fetch(self, loaded: Loaded, name: str, folder: Folder, before: int) -> Path:
        def progress(done: int) -> None:
            loaded.fetched_bytes = before + done

        try:
            if not self._cache.use(folder.digest):
                missing_bytes = self._cache.missing_bytes(folder.digest, folder.files)
                await asyncio.to_thread(self._room.make, missing_bytes)
            return await self._cache.fetch(folder.digest, folder.files, progress)
        except DigestMismatch as error:
            raise ModelFilesDamaged(model=name, detail=str(error)) from error
        except OSError as error:
            _LOG.exception("files of a model cannot be fetched", extra={"model": name})
            raise ModelNotLoadable(detail=f"the files of {name} cannot be fetched") from error

    async def _engine(self, digest: str, directory: Path) -> EngineProcess:
        async with self._starting.setdefault(digest, asyncio.Lock()):
            engine = self._engines.get(digest)
            if engine is not None and not engine.dead.is_set():
                return engine
            options = self._options
            engine = await EngineProcess.start(
                options.module,
                directory,
                place=await self._gpus.take(),
                max_rows=options.max_rows,
                threads=options.threads,
            )
            try:
                await engine.ready()
            except BaseException:
                await engine.stop()
                raise
            self._engines[digest] = engine
            return engine
