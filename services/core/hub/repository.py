"""The Hugging Face Hub through its own library: which files a commit has, and fetching one of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is of whichever httpx it uses
    DisabledRepoError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm import tqdm  # type: ignore[import-untyped]

from services.core.disk import is_full
from services.core.hub.protocol import HubFile, Job, Plan, Refusal

_FETCH_ATTEMPTS = 5
_PLAN_TIMEOUT_S = 20.0
_TELL_EVERY_S = 0.5
_HIDDEN = re.compile(r"hf_\w+|https?://\S+")
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    # A gated repository is also a RepositoryNotFoundError: the order matters.
    (GatedRepoError, "gated"),
    (DisabledRepoError, "missing"),
    (RepositoryNotFoundError, "missing"),
    (RevisionNotFoundError, "revision"),
    (HFValidationError, "missing"),
)
_UNREACHABLE: tuple[type[Exception], ...] = (OSError, HTTPError, LocalEntryNotFoundError, FileMetadataError)
FAILURES: tuple[type[Exception], ...] = (*(kind for kind, _ in _KINDS), HfHubHTTPError, *_UNREACHABLE)
"""What the library raises when the Hub does not give what was asked for."""


class Repository:
    """One repository at one revision."""

    def __init__(self, job: Job) -> None:
        self._job = job
        # False keeps the library from using a token that someone saved on this machine.
        self._api = HfApi(token=job.token or False)
        self._commit = ""

    def plan(self) -> Plan:
        """Pins the revision to its commit and lists the files there. Raises one of FAILURES."""
        info: Any = self._api.repo_info(
            self._job.hub_id,
            repo_type=self._job.repo_type,
            revision=self._job.revision,
            files_metadata=True,
            timeout=_PLAN_TIMEOUT_S,
        )
        self._commit = str(info.sha)
        files = [
            HubFile(path=one.rfilename, size_bytes=int(one.size or 0), sha256=one.lfs.sha256 if one.lfs else "")
            for one in info.siblings or ()
        ]
        return Plan(commit=self._commit, files=tuple(files))

    def fetch(self, path: str, progress: Callable[[int], None]) -> None:
        """Downloads one file of the pinned commit into the folder, with several tries. Raises one of FAILURES."""
        for attempt in range(1, _FETCH_ATTEMPTS + 1):
            try:
                self._download(path, progress)
            except FAILURES as error:
                if attempt == _FETCH_ATTEMPTS or refusal(error).kind not in ("unreachable", "busy"):
                    raise
                time.sleep(2.0**attempt)
            else:
                return

    def _download(self, path: str, progress: Callable[[int], None]) -> None:
        self._api.hf_hub_download(
            self._job.hub_id,
            path,
            repo_type=self._job.repo_type,
            revision=self._commit,
            local_dir=Path(self._job.directory),
            tqdm_class=_bar(progress),
        )


def refusal(error: Exception) -> Refusal:
    """What to tell of a failure: its kind, and the library's words without addresses and tokens."""
    return Refusal(kind=_kind(error), detail=_words(error))


def _kind(error: BaseException) -> str:
    error = _cause(error)
    for kind, word in _KINDS:
        if isinstance(error, kind):
            return word
    if not isinstance(error, HfHubHTTPError):
        return "disk" if is_full(error) else "unreachable"
    status = error.response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "busy"
    return "token" if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else "unreachable"


def _words(error: Exception) -> str:
    cause = _cause(error)
    first = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return _HIDDEN.sub("…", f"{type(cause).__name__}: {first}")[:160]


def _cause(error: BaseException) -> BaseException:
    """The library says "not found locally" when the Hub could not be asked, and keeps why as the cause."""
    return error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error


def _bar(progress: Callable[[int], None]) -> type[Any]:
    """A progress bar for the library that draws nothing and tells `progress` the bytes of the file so far."""

    class Bar(tqdm):  # type: ignore[misc]
        """Counts."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            self._so_far = int(kwargs.get("initial") or 0)
            self._told_at = 0.0
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            """Counts `n` bytes more."""
            self._so_far += int(n or 0)
            if time.monotonic() - self._told_at > _TELL_EVERY_S:
                self._told_at = time.monotonic()
                progress(self._so_far)
            return None

    return Bar
