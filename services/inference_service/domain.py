"""What the inference service speaks of: sampling, sources of weights, and models in memory."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

MAX_NEW_TOKENS = 65_536
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen; the defaults are the manual's."""

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 0
    max_new_tokens: int = 100
    repetition_penalty: float = 1.1
    stop: tuple[str, ...] = ()
    seed: int = field(default_factory=lambda: secrets.randbelow(2**31))


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A value outside its range: field, value and the range in words."""

    field: str
    value: object
    allowed: str


def breaches(sampling: Sampling) -> list[Breach]:
    """Every value that is out of range; NaN is out of every range."""
    ranges = [
        ("temperature", sampling.temperature, 0.0, 2.0, "0 to 2"),
        ("top_p", sampling.top_p, math.ulp(0.0), 1.0, "above 0, up to 1"),
        ("top_k", sampling.top_k, 0, 2**31 - 1, "0 or more"),
        ("max_new_tokens", sampling.max_new_tokens, 1, MAX_NEW_TOKENS, f"1 to {MAX_NEW_TOKENS}"),
        ("repetition_penalty", sampling.repetition_penalty, 0.5, 2.0, "0.5 to 2"),
        ("seed", sampling.seed, 0, 2**63 - 1, "0 or more"),
    ]
    found = [Breach(field=name, value=v, allowed=text) for name, v, low, high, text in ranges if not low <= v <= high]
    if len(sampling.stop) > MAX_STOPS:
        found.append(Breach(field="stop", value=len(sampling.stop), allowed=f"at most {MAX_STOPS} texts"))
    found += [
        Breach(field=f"stop[{i}]", value=len(text), allowed=f"1 to {MAX_STOP_CHARACTERS} characters")
        for i, text in enumerate(sampling.stop)
        if not 1 <= len(text) <= MAX_STOP_CHARACTERS
    ]
    return found


@dataclass(frozen=True, kw_only=True)
class Source:
    """What answers under a name: an engine's weights, and an adapter on them where there is one."""

    name: str
    """The version or base model, without alias."""
    weights_name: str
    """The base model, or the full version itself."""
    weights_digest: str
    """Digest that the weights must have: an adapter counts only on the base that it was trained on."""
    adapter: bool
    template_json: str


class LoadState(Enum):
    """States of a model in memory."""

    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(kw_only=True)
class Loaded:
    """A model in memory, or on its way there."""

    source: Source
    digest: str = ""
    state: LoadState = LoadState.LOADING
    fetched_bytes: int = 0
    total_bytes: int = 0
    failure: Exception | None = None
    active_requests: int = 0
    create_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    last_used_time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def progress(self) -> float:
        """0 to 1. Fetching counts for nine tenths, reading into memory for the rest."""
        if self.state is LoadState.READY:
            return 1.0
        return 0.9 * self.fetched_bytes / self.total_bytes if self.total_bytes else 0.0
