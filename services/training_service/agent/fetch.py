"""Brings what an attempt reads onto this machine: once, by digest, verified, going on where it was broken off."""

import asyncio
import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

from aift.training.v1 import worker_pb2

from services.core.cache_room import Bounds, CacheRoom
from services.core.disk import is_full
from services.core.file_cache import FetchFailed, FileCache, RemoteFile
from services.training_service.agent.link import Link

log = logging.getLogger(__name__)

# What a store answers where an address has run out.
_ADDRESS_RAN_OUT = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_FETCHES = 3
_ROWS = "rows.parquet"
_SPARE_BYTES = 256 << 20


class DiskFull(Exception):
    """The inputs do not fit on this machine's disk."""

    def __init__(self, path: Path, *, needed: int, free: int) -> None:
        super().__init__(f"{path} has {free} bytes free, {needed} are needed")
        self.path, self.needed, self.free = path, needed, free


@dataclass(frozen=True, kw_only=True)
class LocalInputs:
    """The same as folders and files of this machine; None where there is none."""

    base_model: Path
    dataset: Path
    eval_dataset: Path | None
    start_from: Path | None
    checkpoint: Path | None
    checkpoint_step: int


class Fetcher:
    """Fetches the inputs of one attempt into the machine's cache, its checkpoint into the attempt's own folder."""

    def __init__(
        self, link: Link, cache: Path, own: Path, bounds: Bounds, progress: Callable[[int, int], None]
    ) -> None:
        self._link = link
        # Engines keep base models in the same folder, so that a machine has each once.
        self._models = FileCache(cache / "models")
        self._rows = FileCache(cache / "data")
        spared = replace(bounds, free_bytes=max(bounds.free_bytes, _SPARE_BYTES))
        self._room = CacheRoom([cache / "models", cache / "data"], spared)
        self._own = FileCache(own)
        self._root = cache
        self._progress = progress
        self._done = 0
        self._total = 0

    async def fetch(self, inputs: worker_pb2.Inputs) -> LocalInputs:
        """Everything; none of it goes away while this object lives. Raises DiskFull, DigestMismatch, OSError; Superseded
        or CutOff."""
        for attempt in range(1, _FETCHES + 1):
            try:
                return await self._fetch(inputs)
            except (FetchFailed, FileNotFoundError) as error:
                if attempt == _FETCHES or not _ran_out(error):
                    raise
                log.warning("an address ran out, asking for fresh ones: %s", error)
                request = worker_pb2.RefreshInputsRequest(attempt=self._link.attempt)
                inputs = (await self._link.call(lambda stub: stub.RefreshInputs, request)).inputs
        raise AssertionError("unreachable")

    async def _fetch(self, inputs: worker_pb2.Inputs) -> LocalInputs:
        base = _Wanted(self._models, inputs.base_model.digest, _remote(inputs.base_model))
        rows = self._wanted_rows(inputs.dataset)
        held_out = self._wanted_rows(inputs.eval_dataset) if inputs.HasField("eval_dataset") else None
        start = inputs.start_from
        going_on = _Wanted(self._models, start.digest, _remote(start)) if start.files else None
        saved = inputs.checkpoint
        checkpoint = _Wanted(self._own, saved.digest, _remote(saved)) if saved.files else None
        every = [wanted for wanted in (base, rows, held_out, going_on, checkpoint) if wanted]
        self._done, self._total = 0, sum(wanted.size_bytes for wanted in every)
        await asyncio.to_thread(self._make_room, every)
        return LocalInputs(
            base_model=await self._folder(base),
            dataset=await self._file(rows),
            eval_dataset=await self._file(held_out) if held_out else None,
            start_from=await self._folder(going_on) if going_on else None,
            checkpoint=await self._folder(checkpoint) if checkpoint else None,
            checkpoint_step=inputs.checkpoint_step,
        )

    def _wanted_rows(self, given: worker_pb2.InputFiles) -> "_Wanted":
        files = _rows(given)
        return _Wanted(self._rows, _digest(files), files)

    async def _file(self, wanted: "_Wanted") -> Path:
        return await self._folder(wanted) / wanted.files[0].path

    async def _folder(self, wanted: "_Wanted") -> Path:
        before = self._done

        def told(done: int) -> None:
            self._progress(before + done, self._total)

        try:
            folder = await wanted.cache.fetch(wanted.digest, wanted.files, told)
        except OSError as error:
            if is_full(error):
                raise self._full(wanted.size_bytes) from error
            raise
        self._done += wanted.size_bytes
        self._progress(self._done, self._total)
        return folder

    def _make_room(self, every: Sequence["_Wanted"]) -> None:
        """What is there already is in use before others are removed for what is not."""
        self._root.mkdir(parents=True, exist_ok=True)
        missing = [wanted for wanted in every if not wanted.cache.use(wanted.digest)]
        needed = sum(wanted.cache.missing_bytes(wanted.digest, wanted.files) for wanted in missing)
        if needed == 0:
            return
        self._room.make(needed)
        if shutil.disk_usage(self._root).free < needed + _SPARE_BYTES:
            raise self._full(needed + _SPARE_BYTES)

    def _full(self, needed: int) -> DiskFull:
        return DiskFull(self._root, needed=needed, free=shutil.disk_usage(self._root).free)


@dataclass(frozen=True)
class _Wanted:
    """A folder that the attempt reads, and the cache that it belongs into."""

    cache: FileCache
    digest: str
    files: Sequence[RemoteFile]

    @property
    def size_bytes(self) -> int:
        """Length of all files."""
        return sum(file.size_bytes for file in self.files)


def _remote(files: worker_pb2.InputFiles) -> list[RemoteFile]:
    return [
        RemoteFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, url=file.url) for file in files.files
    ]


def _rows(files: worker_pb2.InputFiles) -> list[RemoteFile]:
    """The one file that holds the rows; the original where there is no converted one."""
    found = _remote(files)
    return [file for file in found if file.path == _ROWS] or found[:1]


def _digest(files: Sequence[RemoteFile]) -> str:
    lines = sorted(f"{file.path}\0{file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _ran_out(error: FetchFailed | FileNotFoundError) -> bool:
    return isinstance(error, FileNotFoundError) or error.status in _ADDRESS_RAN_OUT
