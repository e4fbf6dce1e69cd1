"""One pass over a file or a folder: every check, the statistics, and the canonical form."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from services.data_service.child import Progress, Tell
from services.data_service.domain import CHECKED_PATHS, SET_ASIDE_PATH
from services.data_service.report import Report
from services.data_service.validation.blocks import Block
from services.data_service.validation.canonical import CanonicalWriter
from services.data_service.validation.crew import Alone, Crew
from services.data_service.validation.encoding import is_utf8
from services.data_service.validation.meter import Meter
from services.data_service.validation.opening import Opened, open_file, remove_copies
from services.data_service.validation.quick_json import load_all
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.rules import Rules, decide
from services.data_service.validation.totals import Totals
from services.data_service.validation.workers import LARGE_BYTES, WORKERS, Workers

_SAMPLE_ROWS = 1000
_SAMPLE_BYTES = 4 << 20


def validate(
    request: ValidationRequest,
    tell: Tell,
    *,
    quick: bool = True,
    crew_size: int = WORKERS,
    workers: Workers | None = None,
) -> Report:
    """Checks the input and writes its canonical form into the output folder.

    Args:
        request: what to check, and how.
        tell: is told how far it is, about every half second.
        quick: off, every row gets the long look.
        crew_size: processes beside ours for a large file; 0 to do without.
        workers: such processes that were started before; the caller ends them.

    Raises:
        OSError: the input cannot be read or the output not be written.
    """
    output = Path(request.output_dir)
    with ExitStack() as stack:
        spill = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=output)))
        canonical = stack.enter_context(CanonicalWriter(output))
        aside = stack.enter_context((output / SET_ASIDE_PATH).open("wb"))
        totals = Totals(spill, canonical, aside)
        report = _Pass(request, tell, totals, spill, quick=quick, crew_size=crew_size, workers=workers).run(stack)
    if not report.valid:
        for path in CHECKED_PATHS:
            (output / path).unlink(missing_ok=True)
    elif not report.set_aside_rows:
        (output / SET_ASIDE_PATH).unlink()
    return report


class _Pass:
    """The state of one pass."""

    def __init__(
        self,
        request: ValidationRequest,
        tell: Tell,
        totals: Totals,
        spill: Path,
        *,
        quick: bool,
        crew_size: int,
        workers: Workers | None,
    ) -> None:
        self._request = request
        self._tell = tell
        self._totals = totals
        self._spill = spill
        self._quick = quick
        self._crew_size = crew_size
        self._workers = workers
        self._meter = Meter(tell, lambda: totals.seen)
        self._rules: Rules | None = None
        self._first: Opened | None = None
        self._alone: Alone | None = None
        self._crew: Crew | None = None

    def run(self, stack: ExitStack) -> Report:
        """Reads everything."""
        done = 0
        for path, name in _files(Path(self._request.input_file)):
            folder = Path(self._request.input_file).is_dir()
            self._totals.begin(f"{name}: " if folder else "")
            size = path.stat().st_size
            self._meter.begin(done, size)
            called = name or self._request.filename
            opened = open_file(path, called, self._request, self._spill, self._totals.findings, self._meter)
            if opened is not None:
                self._first = self._first or opened
                self._read(opened, stack)
            remove_copies(self._spill)
            done += size
        self._tell(Progress(done, self._totals.seen))
        return self._totals.report(self._rules or decide(self._request, ()), self._first)

    def _read(self, opened: Opened, stack: ExitStack) -> None:
        size = opened.size_bytes
        gauge = self._meter.stage(size, last=True)
        blocks = self._decide(opened.blocks())
        for block, checked in self._checker(size, stack).check(blocks):
            self._totals.add(self._ruled(), block, checked)
            gauge(block.end)

    def _decide(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Settles the rules by the first rows, and gives all blocks back."""
        head: list[Block] = []
        rows: list[dict[str, Any]] = []
        size = balance = 0
        while self._rules is None and len(rows) < _SAMPLE_ROWS and size < _SAMPLE_BYTES:
            block = next(blocks, None)
            if block is None:
                break
            head.append(block)
            limit = self._request.max_line_bytes
            texts = [text for text in block.load(limit).texts if len(text) <= limit]
            rows += [row for row in load_all(texts) if isinstance(row, dict)]
            size += sum(map(len, texts)) + 1
            balance += sum(1 if is_utf8(text) else -1 for text in texts if not text.isascii())
        self._rules = self._rules or decide(self._request, rows[:_SAMPLE_ROWS], utf8=balance > 0)
        return chain(head, blocks)

    def _ruled(self) -> Rules:
        if self._rules is None:
            raise AssertionError("the rules are settled before anything is checked")
        return self._rules

    def _checker(self, size: int, stack: ExitStack) -> Alone | Crew:
        if self._crew_size and size >= LARGE_BYTES:
            self._workers = self._workers or stack.enter_context(Workers(self._crew_size))
            self._crew = self._crew or stack.enter_context(Crew(self._ruled(), self._workers.all))
            return self._crew
        self._alone = self._alone or Alone(self._ruled(), quick=self._quick)
        return self._alone


def _files(source: Path) -> Iterator[tuple[Path, str]]:
    """The files to read with their names, in order; hidden ones and links are passed over."""
    if not source.is_dir():
        yield source, ""
        return
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in name.parts):
            yield path, str(name)
