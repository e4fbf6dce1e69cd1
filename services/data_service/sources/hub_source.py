"""Files of data sets of the Hugging Face Hub, fetched by a child process that holds the token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from services.core.errors import DomainError, InvalidArgument, Unavailable
from services.core.hub.process import ImporterProcess, importer
from services.core.hub.protocol import HubFile, Job, Plan
from services.core.objects import CHUNK_BYTES
from services.data_service.child import Progress
from services.data_service.settings import DataSettings
from services.data_service.sources.errors import (
    HubDatasetGated,
    HubDatasetNotFound,
    HubDatasetRevisionNotFound,
    HubDatasetTokenRefused,
    HubFileNotChosen,
    SourceTooLarge,
    SourceUnreachable,
)
from services.data_service.sources.source import Fetched, filename_of
from services.data_service.workspace import Workspace

SCHEME = "hub:"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_ID = re.compile(rf"{_PART}(?:/{_PART})?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}")
_READABLE = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".ndjson")
_PACKED = (".gz", ".zst")
_NOTES = frozenset({"dataset_infos.json", "dataset_info.json", "state.json"})
_SHOWN = 10


def _unreachable(*, hub_id: str, revision: str, detail: str) -> SourceUnreachable:
    return SourceUnreachable(f"{SCHEME}{hub_id}@{revision}", detail)


_ERRORS: dict[str, Callable[..., DomainError]] = {
    "missing": HubDatasetNotFound,
    "revision": HubDatasetRevisionNotFound,
    "gated": HubDatasetGated,
    "token": HubDatasetTokenRefused,
    "busy": _unreachable,
    "unreachable": _unreachable,
}


@dataclass(frozen=True, kw_only=True)
class HubPlace:
    """A file of a data set at a revision; no path: the only one that we can read."""

    hub_id: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.hub_id}@{self.revision}:{self.path}"

    @classmethod
    def of(cls, text: str) -> HubPlace:
        """The inverse of `str`."""
        hub_id, _, rest = text.removeprefix(SCHEME).partition("@")
        revision, _, path = rest.partition(":")
        return cls(hub_id=hub_id, revision=revision, path=path)

    @classmethod
    def checked(cls, hub_id: str, revision: str, path: str) -> HubPlace:
        """What a request names. Raises InvalidArgument."""
        if _HUB_ID.fullmatch(hub_id) is None or ".." in hub_id or "--" in hub_id:
            raise _invalid("hub.id", 'an id such as "kunishou/databricks-dolly-15k-ja"', "Hugging Face Hub の ID")
        if revision and (_REVISION.fullmatch(revision) is None or ".." in revision):
            raise _invalid("hub.revision", "a branch, a tag or a commit", "ブランチ名、タグ名、またはコミット")
        if path.startswith("/") or ".." in PurePosixPath(path).parts or len(path) > 1000 or "\0" in path:
            raise _invalid("hub.path", "the path of a file in the data set", "データセット内のファイルのパス")
        return cls(hub_id=hub_id, revision=revision or "main", path=path)


class HubSource:
    """Pins the revision to its commit, takes one file, and keeps it in the job's folder on the way."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings

    async def fetch(self, place: str, space: Workspace) -> Fetched:
        """The file; its source names the commit. Raises the errors of hub data sets, SourceUnreachable, SourceTooLarge."""
        wanted = HubPlace.of(place)
        directory = space.folder / "hub"
        await asyncio.to_thread(directory.mkdir)
        job = Job(
            hub_id=wanted.hub_id,
            revision=wanted.revision,
            directory=str(directory),
            repo_type="dataset",
            token=self._settings.hub_token.get_secret_value(),
        )
        try:
            async with importer(job, endpoint=self._settings.hub_endpoint, errors=_ERRORS) as child:
                return await self._take(child, wanted, directory, space)
        except Unavailable as error:
            raise SourceUnreachable(place, "the fetching process ended") from error

    async def _take(self, child: ImporterProcess, wanted: HubPlace, directory: Path, space: Workspace) -> Fetched:
        plan = await child.plan()
        file = _chosen(plan, wanted)
        if file.size_bytes > self._settings.max_upload_bytes:
            raise SourceTooLarge(str(wanted), limit=self._settings.max_upload_bytes)

        def tell(done_bytes: int) -> None:
            space.progress = Progress(done_bytes, 0)

        await child.fetch(file.path, tell)
        exact = HubPlace(hub_id=wanted.hub_id, revision=plan.commit, path=file.path)
        return Fetched(filename=filename_of(file.path), content=_content(directory / file.path), source=str(exact))


async def _content(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece


def _chosen(plan: Plan, wanted: HubPlace) -> HubFile:
    """The file that is meant. Raises HubFileNotChosen, which names those that there are."""
    readable = [file for file in plan.files if _is_readable(file.path)]
    if wanted.path:
        readable = [file for file in plan.files if file.path == wanted.path] or readable
        if readable and readable[0].path == wanted.path:
            return readable[0]
    elif len(readable) == 1:
        return readable[0]
    raise HubFileNotChosen(hub_id=wanted.hub_id, count=len(readable), files=_names(readable))


def _is_readable(path: str) -> bool:
    name = PurePosixPath(path).name.lower()
    for packing in _PACKED:
        name = name.removesuffix(packing)
    return name.endswith(_READABLE) and name not in _NOTES and not name.startswith((".", "license", "readme"))


def _names(files: Sequence[HubFile]) -> str:
    shown = ", ".join(file.path for file in files[:_SHOWN])
    return (shown + (", …" if len(files) > _SHOWN else "")) or "-"


def _invalid(field: str, what_en: str, what_ja: str) -> InvalidArgument:
    return InvalidArgument.field(field, "INVALID_HUB_DATASET", f"Must be {what_en}.", f"{what_ja}を指定してください。")
