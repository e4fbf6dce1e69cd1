"""What the service and its importer say to each other, one JSON object a line. Standard library only.

The service first sends a `Job`. The importer answers with a `Plan`. Then, one at a time, the service sends
{"fetch": PATH}; the importer answers with {"progress": BYTES} now and then and with {"fetched": PATH} when the file
lies whole in the folder. At the end of its input the importer ends. A `Refusal` may take the place of any answer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to fetch. The token is for the Hub alone; it is sent by pipe so that no environment shows it."""

    hub_id: str
    revision: str
    directory: str
    # "model" or "dataset".
    repo_type: str = "model"
    token: str = field(default="", repr=False)

    def line(self) -> bytes:
        """The job as a line."""
        return encode(asdict(self))


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file of a repository. `sha256` is empty where the Hub does not tell it (small files)."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The commit that the revision points to, and what lies there."""

    commit: str
    files: tuple[HubFile, ...]

    def line(self) -> bytes:
        """The plan as a line."""
        return encode({"plan": asdict(self)})

    @classmethod
    def of(cls, value: dict[str, Any]) -> Plan:
        """The plan in a decoded line."""
        return cls(commit=str(value["commit"]), files=tuple(HubFile(**file) for file in value["files"]))


KINDS = ("missing", "revision", "gated", "token", "busy", "unreachable", "disk")
"""What the Hub may refuse for; the last is ours."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why the Hub did not give what was asked for: one of KINDS, and technical words for the log
    and, where the Hub cannot be reached, for people."""

    kind: str
    detail: str

    def line(self) -> bytes:
        """The refusal as a line."""
        return encode({"refusal": asdict(self)})


def encode(value: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(value).encode() + b"\n"
