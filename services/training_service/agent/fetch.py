"""Brings what an attempt reads onto this machine: once, by digest, verified, going on where it was broken off."""

import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from aift.training.v1 import worker_pb2

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

    def __init__(self, link: Link, cache: Path, own: Path, progress: Callable[[int, int], None]) -> None:
        self._link = link
        # Engines keep base models in the same folder, so that a machine has each once.
        self._models = FileCache(cache / "models")
        self._rows = FileCache(cache / "data")
        self._own = FileCache(own)
        self._root = cache
        self._progress = progress
        self._done = 0
        self._total = 0

    async def fetch(self, inputs: worker_pb2.Inputs) -> LocalInputs:
        """Everything. Raises DiskFull, DigestMismatch, OSError; Superseded or CutOff."""
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
        base, rows = _remote(inputs.base_model), _rows(inputs.dataset)
        held_out = _rows(inputs.eval_dataset) if inputs.HasField("eval_dataset") else []
        start = _remote(inputs.start_from) if inputs.HasField("start_from") else []
        checkpoint = _remote(inputs.checkpoint) if inputs.HasField("checkpoint") else []
        every = [*base, *rows, *held_out, *start, *checkpoint]
        self._done, self._total = 0, sum(file.size_bytes for file in every)
        self._check_disk(inputs.base_model.digest)
        return LocalInputs(
            base_model=await self._folder(self._models, inputs.base_model.digest, base),
            dataset=await self._file(rows),
            eval_dataset=await self._file(held_out) if held_out else None,
            start_from=await self._folder(self._models, inputs.start_from.digest, start) if start else None,
            checkpoint=await self._folder(self._own, inputs.checkpoint.digest, checkpoint) if checkpoint else None,
            checkpoint_step=inputs.checkpoint_step,
        )

    async def _file(self, files: Sequence[RemoteFile]) -> Path:
        folder = await self._folder(self._rows, _digest(files), files)
        return folder / files[0].path

    async def _folder(self, cache: FileCache, digest: str, files: Sequence[RemoteFile]) -> Path:
        before = self._done
        folder = await cache.fetch(digest, files, lambda done: self._progress(before + done, self._total))
        self._done += sum(file.size_bytes for file in files)
        self._progress(self._done, self._total)
        return folder

    def _check_disk(self, base_digest: str) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        if (self._root / "models" / base_digest).exists():
            return
        needed, free = self._total + _SPARE_BYTES, shutil.disk_usage(self._root).free
        if free < needed:
            raise DiskFull(self._root, needed=needed, free=free)


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
