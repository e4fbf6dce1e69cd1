"""Keeps memory as it shall be: loads what is wanted, lets go of what nobody uses."""

from __future__ import annotations

import asyncio
import logging

from services.core import context
from services.core.errors import DomainError, NotFound
from services.inference_service.pool import IdleSeconds, ModelPool
from services.inference_service.sources import Sources
from services.inference_service.store import WantedModels

_LOG = logging.getLogger(__name__)
_EVERY_S = 5.0
_PRINCIPAL = "inference"


class Keeper:
    """A loop that runs as long as the service."""

    def __init__(self, wanted: WantedModels, sources: Sources, pool: ModelPool, idle: IdleSeconds) -> None:
        self._wanted = wanted
        self._sources = sources
        self._pool = pool
        self._idle = idle

    async def run(self) -> None:
        """Looks every five seconds, until cancelled; a dependency that is away only postpones it."""
        while True:
            try:
                await self.look()
            except DomainError as error:
                _LOG.warning("cannot look after the models in memory: %s", error)
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Once: asks for every wanted model and unloads what is idle."""
        wanted = await self._wanted.all()
        for tenant, name in wanted:
            with context.acting(tenant, _PRINCIPAL):
                await self._want(tenant, name)
        await self._pool.unload_idle(self._idle, wanted)

    async def _want(self, tenant: str, name: str) -> None:
        try:
            source = await self._sources.resolve(name)
        except NotFound:
            await self._wanted.remove(tenant, name)  # deleted from the registry meanwhile
        else:
            self._pool.request(tenant, source)
