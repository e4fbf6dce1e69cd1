"""Everything that is known of the rows so far, and the report in the end."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import IO

import numpy as np

from services.data_service.domain import FileFormat
from services.data_service.report import Report
from services.data_service.validation import file_reasons, reasons
from services.data_service.validation.block_check import Checked
from services.data_service.validation.blocks import Block, Numbers, Packet
from services.data_service.validation.canonical import CanonicalWriter
from services.data_service.validation.duplicates import Duplicates
from services.data_service.validation.findings import MAX_TEXTS, Findings, whole_line
from services.data_service.validation.lengths import Lengths
from services.data_service.validation.opening import Opened
from services.data_service.validation.rules import FormCount, Rules, template

ENOUGH_ROWS = 1000
"""Below this number of rows the report advises to bring more."""


class Totals:
    """Adds up blocks in the order of the file, and passes their rows on."""

    def __init__(self, spill: Path, canonical: CanonicalWriter, aside: IO[bytes]) -> None:
        self.findings = Findings(MAX_TEXTS)
        self.seen = 0
        """Rows, good and bad."""
        self.aside_rows = 0
        self._canonical = canonical
        self._aside = aside
        self._duplicates = Duplicates(spill)
        self._lengths = Lengths()
        self._count = FormCount()
        self._valid_rows = 0
        self._files: list[tuple[int, str]] = []

    def begin(self, prefix: str) -> None:
        """The rows of another file follow; `prefix` names it in front of excerpts."""
        self._files.append((self._valid_rows, prefix))

    def add(self, rules: Rules, block: Block, checked: Checked) -> None:
        """Takes a block over."""
        prefix = self._files[-1][1]
        notes = block if isinstance(block, Packet) else None
        if notes is not None:
            self.findings.merge(notes.findings, prefix)
        self.findings.merge(checked.findings, prefix)
        self.seen += checked.seen + (notes.bad_rows if notes else 0)
        self._count.merge(checked.count)
        self._lengths.add(checked.measures)
        columns = _columns(notes, checked) if notes and any(notes.columns) else None
        self._duplicates.add(checked.rows.fingerprints, checked.rows.lines, checked.offsets, columns)
        self._valid_rows += len(checked.rows.lines)
        if rules.set_aside:
            lines = sorted([*(notes.aside if notes else ()), *checked.aside])
            self._aside.writelines(each.json for each in lines)
            self.aside_rows += len(lines)
        if rules.set_aside or not self.findings.has_errors:  # else nothing of it is kept
            self._canonical.write(checked.rows)

    def report(self, rules: Rules, opened: Opened | None) -> Report:
        """The whole. `opened` is the first file, None when none could be opened."""
        if rules.set_aside:
            self.findings.excuse_rows()
        repeated = self._whole()
        return Report(
            rows=self.seen,
            valid_rows=self._valid_rows,
            template=template(rules, self._count),
            findings=self.findings.sorted(),
            statistics=self._lengths.statistics(repeated),
            format=opened.format if opened else FileFormat.DETECT,
            encoding=opened.encoding if opened and (rules.utf8 or not self.findings.holds(reasons.NOT_UTF8)) else "",
            compression=opened.compression if opened else "",
            format_evidence_en=opened.evidence_en if opened else "",
            format_evidence_ja=opened.evidence_ja if opened else "",
            set_aside_rows=self.aside_rows,
        )

    def _whole(self) -> int:
        """What can be said only at the end; how many rows repeat earlier ones."""
        if self.seen == 0 and not self.findings.has_errors:
            self.findings.add(file_reasons.EMPTY_FILE)
        elif self._valid_rows == 0 and not self.findings.has_errors:
            self.findings.add(file_reasons.NO_GOOD_ROWS)
        elif self.seen < ENOUGH_ROWS and not self.findings.has_errors:
            self.findings.add(file_reasons.TOO_FEW_ROWS, rows=self._valid_rows)
        unused = self._count.unused
        if unused.rows:
            fields = sorted(unused.fields.items(), key=lambda field: (-field[1], field[0]))
            en = ", ".join(f"{name} (rows: {rows:,})" for name, rows in fields)
            ja = "、".join(f"{name}（{rows:,} 行）" for name, rows in fields)
            self.findings.add(reasons.UNUSED_FIELDS, count=unused.rows, fields=en, fields_ja=ja)
        repeated, first = self._duplicates.result()
        for number, repeat in enumerate(first):
            at = whole_line(repeat.line, repeat.offset, self._file_of(repeat.row), column=repeat.column)
            self.findings.add(reasons.DUPLICATE_ROWS, at, count=repeated if number == 0 else 0)
        return repeated

    def _file_of(self, row: int) -> str:
        number = bisect_right(self._files, row, key=lambda file: file[0])
        return self._files[number - 1][1].removesuffix(": ")


def _columns(packet: Packet, checked: Checked) -> Numbers:
    """The columns of the rows that passed."""
    passed = np.searchsorted(np.asarray(packet.offsets, np.int64), checked.offsets)
    return np.asarray(packet.columns, np.int64)[passed]
