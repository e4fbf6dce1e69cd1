"""Base models from the Hugging Face Hub: what is taken, whether it fits, and bringing it into the object store."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.core.errors import ResourceExhausted
from services.core.hub.process import ImporterProcess, importer
from services.core.hub.protocol import HubFile, Job, Plan
from services.core.objects import ObjectStore
from services.registry_service import disk
from services.registry_service.domain import HubSource, StoredFile
from services.registry_service.errors import ConfigMissing, UnsafeModelFile, WeightsMissing
from services.registry_service.file_kinds import CONFIG, MAX_FILES, is_pickle, wanted_of_hub, weights_of
from services.registry_service.folder import Folder
from services.registry_service.hub_errors import BY_KIND
from services.registry_service.intake import Intake
from services.registry_service.model_config import shape_of
from services.registry_service.progress import ImportProgress


@dataclass(frozen=True, kw_only=True)
class HubAccess:
    """How this installation reaches the Hub, and where downloads go."""

    # Empty: public models only.
    token: str
    # Empty: the library's default.
    endpoint: str
    # Folder for the file that is being downloaded.
    scratch: Path
    # Folder of the object store where it is one, so that its disk is looked at too.
    objects: Path | None
    # Disk space that must stay free, in bytes.
    reserve_bytes: int


class HubImport:
    """Takes models in, file by file: at most one file at a time lies outside of the object store."""

    def __init__(self, access: HubAccess, intake: Intake, store: ObjectStore) -> None:
        self._access = access
        self._intake = intake
        self._store = store

    async def run(self, source: HubSource, uid: str, progress: ImportProgress) -> tuple[StoredFile, ...]:
        """The files of a model as blobs of ours. What is here already, by digest, is not fetched again.

        Raises the errors of `hub_errors` and of this service, and Unavailable when the child died.
        """
        directory = self._access.scratch / uid
        await asyncio.to_thread(_make_empty, directory)
        job = Job(hub_id=source.hub_id, revision=source.revision, directory=str(directory), token=self._access.token)
        try:
            async with importer(job, endpoint=self._access.endpoint, errors=BY_KIND) as child:
                return await self._take_in(child, directory, progress)
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def _take_in(
        self, child: ImporterProcess, directory: Path, progress: ImportProgress
    ) -> tuple[StoredFile, ...]:
        plan = await child.plan()
        wanted = _wanted(plan)
        progress.hub_revision = plan.commit
        progress.total_bytes = sum(file.size_bytes for file in wanted)
        known = {file.path: await self._intake.known(file.path, file.sha256) for file in wanted}
        await self._check_disk([file for file in wanted if known[file.path] is None])
        stored = []
        for file in wanted:
            stored.append(known[file.path] or await self._fetch(child, file, directory, progress))
            progress.done_bytes = sum(one.size_bytes for one in stored)
            if file.path == CONFIG:
                await self._check_config(stored[-1])
        return tuple(stored)

    async def _fetch(
        self, child: ImporterProcess, file: HubFile, directory: Path, progress: ImportProgress
    ) -> StoredFile:
        before = progress.done_bytes

        def tell(done_bytes: int) -> None:
            progress.done_bytes = before + min(done_bytes, file.size_bytes)

        await child.fetch(file.path, tell)
        stored = await self._intake.store(file.path, directory / file.path, file.sha256)
        await asyncio.to_thread((directory / file.path).unlink)
        return stored

    async def _check_config(self, config: StoredFile) -> None:
        """A model that cannot be used is refused before its weights are fetched."""
        said = await Folder(self._store, [config]).json_object(CONFIG)
        shape_of(said, parameters=0, dtype="")

    async def _check_disk(self, missing: Sequence[HubFile]) -> None:
        needs: Mapping[Path, int] = {self._access.scratch: max((file.size_bytes for file in missing), default=0)}
        if self._access.objects is not None:
            needs = {**needs, self._access.objects: sum(file.size_bytes for file in missing)}
        await asyncio.to_thread(disk.check, needs, reserve_bytes=self._access.reserve_bytes)


def _wanted(plan: Plan) -> list[HubFile]:
    """What to fetch, config.json first and weights last. Raises what the list of files already tells."""
    by_path = {file.path: file for file in plan.files}
    paths = wanted_of_hub(list(by_path))
    if not weights_of(paths):
        pickle = next((path for path in sorted(by_path) if is_pickle(path)), None)
        raise UnsafeModelFile(file=pickle) if pickle else WeightsMissing()
    if CONFIG not in by_path:
        raise ConfigMissing
    if len(paths) > MAX_FILES:
        raise ResourceExhausted("files of a model", limit=MAX_FILES)
    return [by_path[path] for path in sorted(paths, key=lambda path: (path != CONFIG, path.endswith(".safetensors")))]


def _make_empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
