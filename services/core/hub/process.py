"""The service's side of the dialogue with an importer process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from fnmatch import fnmatchcase
from typing import Any

from services.core import lifeline
from services.core.errors import DiskFull, DomainError, Unavailable
from services.core.hub.protocol import Job, Plan, encode

_MAX_LINE_BYTES = 16 << 20
_END_WITHIN_S = 5.0
# What the child needs of our environment; the Hub's token and our own secrets are not among it.
_FORWARDED = (
    *("PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHON*", "LD_LIBRARY_PATH", "DYLD_*"),
    *("SSL_CERT_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "*_proxy", "*_PROXY", "HF_*", "COVERAGE_*"),
)
_WITHHELD = ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME")


class ImporterProcess:
    """One child at work on one repository."""

    def __init__(
        self, process: asyncio.subprocess.Process, job: Job, errors: Mapping[str, Callable[..., DomainError]]
    ) -> None:
        self._process = process
        self._job = job
        self._errors = errors

    async def plan(self) -> Plan:
        """Which commit, and which files it has. Raises the caller's errors, or Unavailable."""
        await self._say(self._job.line())
        return Plan.of((await self._answer())["plan"])

    async def fetch(self, path: str, progress: Callable[[int], None]) -> None:
        """Has a file written into the job's folder; `progress` is told its bytes so far. Raises like `plan`."""
        await self._say(encode({"fetch": path}))
        while "fetched" not in (answer := await self._answer()):
            progress(int(answer["progress"]))

    async def _say(self, line: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - a pipe was asked for
        # A child that is gone is noticed by the answer that does not come.
        with suppress(ConnectionError):
            stdin.write(line)
            await stdin.drain()

    async def _answer(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - a pipe was asked for
        line = await stdout.readline()
        if not line:
            raise Unavailable("importer process")
        answer: dict[str, Any] = json.loads(line)
        if "refusal" in answer:
            raise self._refused(answer["refusal"])
        return answer

    def _refused(self, refusal: Mapping[str, str]) -> DomainError:
        if refusal["kind"] == "disk":
            return DiskFull()
        kind = self._errors[refusal["kind"]]
        return kind(hub_id=self._job.hub_id, revision=self._job.revision, detail=refusal["detail"])


@asynccontextmanager
async def importer(
    job: Job, *, endpoint: str, errors: Mapping[str, Callable[..., DomainError]]
) -> AsyncIterator[ImporterProcess]:
    """Starts a child and ends it, whatever happens.

    Args:
        job: what to fetch.
        endpoint: of a mirror of the Hub; empty for the library's default.
        errors: by the Hub's kind of refusal, all but "disk"; made with hub_id, revision and detail.
    """
    process = await lifeline.spawn(
        [sys.executable, "-m", "services.core.hub"],
        env=_environment(job.directory, endpoint),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_MAX_LINE_BYTES,
    )
    try:
        yield ImporterProcess(process, job, errors)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await lifeline.end(process, grace_s=_END_WITHIN_S)


def _environment(directory: str, endpoint: str) -> dict[str, str]:
    chosen = {
        name: value
        for name, value in os.environ.items()
        if name not in _WITHHELD and any(fnmatchcase(name, pattern) for pattern in _FORWARDED)
    }
    own = {"HF_HOME": f"{directory}/.hub", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    return {**chosen, **own, **({"HF_ENDPOINT": endpoint} if endpoint else {})}
