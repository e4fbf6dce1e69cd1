"""What the trainer tells: one JSON object a line in OUTPUT_DIR/events.jsonl. Standard library only.

Every line has `seq` (counts from 1 without gaps, also when a resumed trainer appends to the same file), `time`
(ISO 8601, UTC) and `kind`, which names one of the dataclasses below; the rest are that dataclass's fields. A line is
written by one call and is whole once its newline is there; readers leave an unfinished last line for later.
The last line is `finished` or `failed`. Rank 0 writes events.jsonl; rank N writes events.rank-N.jsonl, which holds
log lines and, where that rank failed, `failed`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

Phase = Literal["loading_model", "preparing_data", "training", "evaluating", "saving"]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A phase began or moved on. At least one a second while something moves, and at each change of phase."""

    kind: ClassVar[str] = "progress"
    phase: Phase
    fraction: float
    """Done within the phase, 0 to 1."""
    step: int = 0
    """Optimizer steps done."""
    total_steps: int = 0
    """Optimizer steps in all; 0 while unknown."""
    loss: float | None = None
    """Training loss of the last step."""
    tokens_per_second: float | None = None
    """Tokens of rows, prompts included and padding not, that were trained per second lately, over all ranks."""
    remaining_seconds: float | None = None
    """Until training ends; None while unknown."""
    note: str = ""
    """What exactly, such as a file's name; may be empty."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What was measured at a step. A step that is trained again after a resume is told again."""

    kind: ClassVar[str] = "metric"
    step: int
    """Optimizer steps done; 0 is the base model."""
    epoch: float
    """Passes over the training rows done."""
    values: dict[str, float]
    """loss, learning_rate, grad_norm, tokens_per_second (as in Progress), step_seconds, data_wait_share, memory_bytes,
    tokens and trained_tokens (all so far; the latter count in the loss); at evaluations eval_loss, eval_perplexity,
    eval_bits_per_character."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint is whole."""

    kind: ClassVar[str] = "checkpoint"
    step: int
    """Optimizer steps done."""
    path: str
    """Its directory, relative to OUTPUT_DIR."""
    eval_loss: float | None = None
    """Held-out loss at this step, where it was measured."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The model wrote something."""

    kind: ClassVar[str] = "sample"
    step: int
    """Optimizer steps done; 0 is the base model."""
    prompt: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Log:
    """Lines for people."""

    kind: ClassVar[str] = "log"
    level: Level
    lines: list[str]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The last event of a trainer that ended as it should."""

    kind: ClassVar[str] = "finished"
    outcome: Literal["succeeded", "paused", "stopped", "interrupted"]
    """succeeded: model/ is whole. paused: told so; the last checkpoint holds `step`. stopped: told so; nothing is kept.
    interrupted: SIGTERM; as paused where `step` is above 0, else nothing had begun."""
    step: int
    """Optimizer steps done."""
    total_steps: int
    metrics: dict[str, float]
    """loss, eval_loss, eval_perplexity, eval_bits_per_character and the same with "base_" before training; tokens."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The last event of a trainer that failed; the process ends with the exit code of `failure` (see `failures`)."""

    kind: ClassVar[str] = "failed"
    failure: Literal["infrastructure", "out_of_memory", "configuration", "data"]
    reason: str
    """Stable, UPPER_SNAKE."""
    field: str
    """The field of the job file or of a row at fault; may be empty."""
    en: str
    ja: str
    detail: str = ""
    """Traceback for the log; not for people."""


def file_name(rank: int) -> str:
    """The event file of a rank in its output directory."""
    return "events.jsonl" if rank == 0 else f"events.rank-{rank}.jsonl"


Event = Progress | Metric | Checkpoint | Sample | Log | Finished | Failed
KINDS: dict[str, type[Event]] = {c.kind: c for c in (Progress, Metric, Checkpoint, Sample, Log, Finished, Failed)}


@dataclass(frozen=True)
class Line:
    """One line of an event file."""

    seq: int
    time: str
    event: Event


def decode(line: str) -> Line:
    """Reads one line. Raises ValueError where it is not one that this version knows."""
    fields: dict[str, Any] = json.loads(line)
    try:
        seq, time, kind = fields.pop("seq"), fields.pop("time"), KINDS[fields.pop("kind")]
        return Line(seq, time, kind(**fields))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an event: {line[:200]}") from error


def read(path: Path) -> Iterator[Line]:
    """All whole lines of a file, in order; none where the file is not there yet."""
    content = path.read_bytes() if path.exists() else b""
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield decode(line.decode("utf-8"))


class EventWriter:
    """Appends events to a file; several threads may write. One writer a file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._seq = _end_of_whole_lines(path, self._file.fileno())

    def write(self, event: Event) -> None:
        """Appends one event as a whole line, or nothing of it. Raises OSError where there is no room."""
        with self._lock:
            head = {"seq": self._seq + 1, "time": datetime.now(UTC).isoformat(), "kind": event.kind}
            line = json.dumps(head | asdict(event), ensure_ascii=False, allow_nan=False, default=str) + "\n"
            self._append(line.encode("utf-8"))
            self._seq += 1

    def _append(self, line: bytes) -> None:
        end = os.fstat(self._file.fileno()).st_size
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError:
            os.ftruncate(self._file.fileno(), end)  # the part that fitted would spoil the next line
            raise

    def close(self) -> None:
        """Flushes to the disk and closes."""
        os.fsync(self._file.fileno())
        self._file.close()


def _end_of_whole_lines(path: Path, descriptor: int) -> int:
    """Cuts off a line that a killed writer left unfinished and returns the last number in the file."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.ftruncate(descriptor, whole)
    last = content[:whole].splitlines()[-1:]
    return int(json.loads(last[0])["seq"]) if last else 0
