"""One pass over a file: every check, the statistics, and the canonical form."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import IO

from services.data_service.report import Example, Report
from services.data_service.validation import reasons
from services.data_service.validation.canonical import CanonicalWriter
from services.data_service.validation.decision import Decision
from services.data_service.validation.duplicates import Duplicates
from services.data_service.validation.findings import Findings
from services.data_service.validation.lengths import Lengths
from services.data_service.validation.lines import read_lines
from services.data_service.validation.records import Record, Records
from services.data_service.validation.request import Progress, ValidationRequest
from services.data_service.validation.row_checks import RowChecks, characters
from services.data_service.validation.sniffing import HEAD_BYTES, sniff

ENOUGH_ROWS = 1000
"""Below this number of rows the report advises to bring more."""
_PROGRESS_EVERY_S = 0.5


def validate(request: ValidationRequest, tell: Callable[[Progress], None]) -> Report:
    """Checks the file and writes its canonical form into the output folder.

    Args:
        request: what to check, and how.
        tell: is told how far it is, about every half second.

    Raises:
        OSError: the file cannot be read or the output not be written.
    """
    output = Path(request.output_dir)
    with Path(request.input_file).open("rb") as stream, tempfile.TemporaryDirectory(dir=output) as spill:
        return Validation(request, tell, Path(spill)).run(stream, output)


class Validation:
    """The state of one pass."""

    def __init__(self, request: ValidationRequest, tell: Callable[[Progress], None], spill: Path) -> None:
        self._limit = request.max_line_bytes
        self._tell = tell
        self._tell_at = monotonic() + _PROGRESS_EVERY_S
        self._findings = Findings()
        self._decision = Decision(request.form, request.train_on)
        self._checks = RowChecks(self._decision, self._findings)
        self._lengths = Lengths()
        self._duplicates = Duplicates(spill)
        self._valid_rows = 0

    def run(self, stream: IO[bytes], output: Path) -> Report:
        """Reads the stream from its beginning to its end."""
        records = Records(read_lines(stream, self._limit), self._findings, self._limit)
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        if sniff(head, self._findings):
            self._read(records, output)
        repeated = self._whole_file(records.seen)
        self._tell(Progress(stream.tell(), records.seen))
        return Report(
            rows=records.seen,
            valid_rows=self._valid_rows,
            template=self._decision.template(),
            findings=self._findings.sorted(),
            statistics=self._lengths.statistics(repeated),
        )

    def _read(self, records: Records, output: Path) -> None:
        with CanonicalWriter(output) as canonical:
            for record in self._decision.sample(iter(records)):
                try:
                    self._take(record, canonical)
                except RecursionError:  # the parser got through, but its way back is longer
                    at = Example(line=record.line, column=0, byte_offset=record.offset, field="", excerpt="")
                    self._findings.add(reasons.NESTED_TOO_DEEPLY, at)
                if monotonic() > self._tell_at:
                    self._tell(Progress(record.offset, records.seen))
                    self._tell_at = monotonic() + _PROGRESS_EVERY_S

    def _take(self, record: Record, canonical: CanonicalWriter) -> None:
        example = self._checks.example(record)
        if example is None:
            return
        digest = hashlib.sha256(_compact(record, sort_keys=True).encode()).digest()
        self._valid_rows += 1
        self._lengths.add(characters(example))
        self._duplicates.add(digest, record.line, record.offset)
        if not self._findings.has_errors:  # else nothing of it is kept
            canonical.add(line=record.line, offset=record.offset, digest=digest, json=_compact(record))

    def _whole_file(self, rows: int) -> int:
        """What can be said only at the end; how many rows repeat earlier ones."""
        if rows == 0 and not self._findings:
            self._findings.add(reasons.EMPTY_FILE)
        elif rows < ENOUGH_ROWS and not self._findings.has_errors:
            self._findings.add(reasons.TOO_FEW_ROWS, rows=rows)
        repeated, first = self._duplicates.result()
        for number, repeat in enumerate(first):
            at = Example(line=repeat.line, column=0, byte_offset=repeat.offset, field="", excerpt="")
            self._findings.add(reasons.DUPLICATE_ROWS, at, count=repeated if number == 0 else 0)
        return repeated


def _compact(record: Record, *, sort_keys: bool = False) -> str:
    return json.dumps(record.value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
