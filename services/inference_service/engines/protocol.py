"""What the API process and an engine process say to each other: one JSON object a line over stdin and stdout.

Standard library only, since both sides import it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Message:
    """One line. ``kind`` names the class on the wire."""

    kind: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class LoadAdapter(Message):
    """To the engine: read the adapter of this digest from a directory."""

    kind = "load_adapter"
    digest: str
    directory: str


@dataclass(frozen=True, kw_only=True)
class UnloadAdapter(Message):
    """To the engine: forget an adapter; its running requests have ended."""

    kind = "unload_adapter"
    digest: str


@dataclass(frozen=True, kw_only=True)
class Generate(Message):
    """To the engine: write a completion. Sampling values are checked already; ``adapter`` is a digest or empty."""

    kind = "generate"
    request: str
    adapter: str
    prompt: str
    system: str
    raw: bool
    template_json: str
    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int
    repetition_penalty: float
    stop: tuple[str, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Cancel(Message):
    """To the engine: free the place of a request; nothing more is said of it."""

    kind = "cancel"
    request: str


@dataclass(frozen=True, kw_only=True)
class Ready(Message):
    """From the engine: the weights are in memory."""

    kind = "ready"
    context_tokens: int


@dataclass(frozen=True, kw_only=True)
class AdapterLoaded(Message):
    """From the engine: the adapter answers."""

    kind = "adapter_loaded"
    digest: str


@dataclass(frozen=True, kw_only=True)
class AdapterFailed(Message):
    """From the engine: the adapter could not be read."""

    kind = "adapter_failed"
    digest: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Text(Message):
    """From the engine: the next whole characters of a completion."""

    kind = "text"
    request: str
    text: str


@dataclass(frozen=True, kw_only=True)
class End(Message):
    """From the engine: a completion is whole. ``finish`` is "stop" or "length"; times are in seconds."""

    kind = "end"
    request: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    queue_seconds: float
    first_token_seconds: float
    total_seconds: float


@dataclass(frozen=True, kw_only=True)
class Refused(Message):
    """From the engine: a request cannot be answered. ``reason`` is "PROMPT_TOO_LONG" or "TEMPLATE_UNUSABLE"."""

    kind = "refused"
    request: str
    reason: str
    prompt_tokens: int = 0
    context_tokens: int = 0
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class LoadFailed(Message):
    """From the engine, its last word: the weights could not be read."""

    kind = "load_failed"
    detail: str


KINDS: dict[str, type[Message]] = {
    message.kind: message
    for message in (
        LoadAdapter,
        UnloadAdapter,
        Generate,
        Cancel,
        Ready,
        AdapterLoaded,
        AdapterFailed,
        Text,
        End,
        Refused,
        LoadFailed,
    )
}


def encode(message: Message) -> bytes:
    """One line, ending with a newline; lone surrogates and newlines inside texts are escaped by JSON."""
    return json.dumps({"kind": message.kind, **asdict(message)}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line.

    Raises:
        ValueError: the line is not a message of this protocol.
    """
    fields: dict[str, Any] = json.loads(line)
    kind = KINDS.get(fields.pop("kind", ""))
    if kind is None:
        raise ValueError(f"unknown engine message: {line[:200]!r}")
    if "stop" in fields:
        fields["stop"] = tuple(fields["stop"])
    return kind(**fields)
