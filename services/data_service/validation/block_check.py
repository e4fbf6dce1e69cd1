"""Every check on the rows of one block: the quick look at all, the long look at those that need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import orjson
from xxhash import xxh3_64_intdigest

from services.data_service.validation.alike_lines import AlikeLines, AlikeReader
from services.data_service.validation.blocks import Aside, Block, Lines, Numbers, Rows, Span, plain_value
from services.data_service.validation.canonical import PackedRows, Packer
from services.data_service.validation.characters import is_clean
from services.data_service.validation.findings import Findings
from services.data_service.validation.quick_json import load_all, may_repeat, values_may_repeat
from services.data_service.validation.quick_rows import Contents, QuickRows
from services.data_service.validation.records import Records
from services.data_service.validation.row_checks import RowChecks, canonical
from services.data_service.validation.rules import FormCount, Rules
from services.data_service.validation.scripts import Measures, TextList, Texts, measure, suspects
from services.data_service.validation.set_aside import aside
from services.text.rows import Form, unused_fields

_AT_ONCE = 512
_ENOUGH_BYTES = 16 << 10
"""In a shorter block looking at lines one by one takes less time than at all at once."""


@dataclass(kw_only=True)
class Checked:
    """What became of a block."""

    seen: int
    """Rows, good and bad; what is written over several lines counts once."""
    count: FormCount
    findings: Findings
    measures: Measures
    rows: Rows | PackedRows
    """Those without an error."""
    offsets: Numbers
    """Of those, in the file."""
    end: int
    """Where the next row begins, beyond the block when its last value goes on there."""
    next_line: int
    ended: bool
    """Whether nothing that follows is to be read."""
    aside: list[Aside] = field(default_factory=list)


class BlockCheck:
    """Checks blocks under the rules of their file, and packs their rows where there is a packer.

    With `quick` off every row gets the long look.
    """

    def __init__(self, rules: Rules, *, quick: bool = True, packer: Packer | None = None) -> None:
        self._rules = rules
        self._packer = packer
        self._quick = QuickRows(rules) if quick else None
        self._alike = AlikeReader(rules) if quick else None

    def check(self, block: Block) -> Checked:
        """Reads and checks a block."""
        if isinstance(block, Span) and (checked := self._alike_lines(block)) is not None:
            return checked
        lines = block.load(self._rules.max_line_bytes)
        work = _Work(self._rules, lines, self._packer)
        if not self._pass(lines.texts, work):
            work = _Work(self._rules, lines, self._packer)
            contents, rows, values = self._glance(lines.texts)
            _leave_out_repeats(contents, lines.texts, values)
            work.sort_out(_without_suspects(contents), rows)
        return work.result(block.end)

    def _alike_lines(self, span: Span) -> Checked | None:
        """Checks a block of lines of few kinds; None when any may need another look."""
        enough = span.end - span.start >= _ENOUGH_BYTES
        lines = self._alike.read(span.read()) if self._alike and enough else None
        if lines is None or lines.longest > self._rules.max_line_bytes:
            return None
        at = span.lines([], span.start + lines.starts, self._rules.max_line_bytes)
        work = _Work(self._rules, at, self._packer)
        work.accept_alike(lines)
        return work.result(span.end)

    def _pass(self, texts: list[bytes], work: _Work) -> bool:
        """Lets all rows pass, so many at a time as fit into a processor's cache; False when one needs another look."""
        for first in range(0, len(texts), _AT_ONCE):
            some = texts[first : first + _AT_ONCE]
            contents, rows, values = self._glance(some)
            passed = [each for each in contents if each is not None]
            joined = b"".join(some)
            if len(passed) < len(contents) or (not is_clean(joined) and any(suspects(passed))):
                return False
            written = list(map(orjson.dumps, rows, repeat(None), repeat(orjson.OPT_SORT_KEYS)))
            # What is written anyway tells it, unless it is of some columns alone.
            if may_repeat(joined, b"".join(written)) if rows is values else values_may_repeat(some, values):
                return False
            work.accept(passed, written)
            if self._quick is not None and self._quick.leave_out:
                work.count_unused(rows)
        return True

    def _glance(self, texts: list[bytes]) -> tuple[list[Contents | None], list[Any], list[Any]]:
        """For each line the text of its example, None where it needs the long look; its row; and its value."""
        if self._quick is None:
            nothing = [None] * len(texts)
            return list(nothing), nothing, nothing
        values = load_all(texts)
        rows = list(map(self._quick.rename, values)) if self._rules.columns else values
        contents = self._quick.contents(rows)
        if max(map(len, texts), default=0) > self._rules.max_line_bytes:
            for index, text in enumerate(texts):
                if len(text) > self._rules.max_line_bytes:
                    contents[index] = None
        return contents, rows, values


class _Work:
    """The rows of one block on their way."""

    def __init__(self, rules: Rules, lines: Lines, packer: Packer | None) -> None:
        self._rules = rules
        self._lines = lines
        self._packer = packer
        self._findings = Findings()
        self._count = FormCount()
        self._aside: list[Aside] = []
        self._seen = 0
        self._indexes: list[int] | None = None
        self._written: list[bytes] = []
        self._contents: list[Contents] = []
        self._texts: Texts = TextList(self._contents)
        self._records = Records(self._findings, rules.max_line_bytes, utf8=rules.utf8)
        self._checks = RowChecks(rules, self._findings, self._count)

    def accept(self, contents: list[Contents], written: list[bytes]) -> None:
        """Takes rows that passed: the texts of their examples, and their canonical JSON."""
        self._contents += contents
        self._accept(list(map(plain_value, written)))

    def accept_alike(self, lines: AlikeLines) -> None:
        """Takes all rows of the block."""
        self._texts = lines
        for names, rows in lines.unused:
            self._count.unused.add(names, rows)
        self._accept(lines.written)

    def count_unused(self, rows: list[Any]) -> None:
        """Counts the fields that are not used of rows that passed."""
        if self._rules.form is not None:
            for row in rows:
                self._count.unused.add(unused_fields(row, self._rules.form))

    def _accept(self, written: list[bytes]) -> None:
        self._seen += len(written)
        self._written += written
        self._passed(len(written))

    def sort_out(self, contents: list[Contents | None], rows: list[Any]) -> None:
        """Takes the rows that passed, and looks long at the others, in their order."""
        self._indexes = []
        passed, beyond = 0, 0
        for index, glance in enumerate(contents):
            if self._records.ended or index < beyond:
                continue
            if glance is not None:
                passed += 1
                self.count_unused([rows[index]])
                self._take(index, glance, canonical(rows[index]))
            elif self._lines.texts[index].strip():
                beyond = self._look(index)
        self._passed(passed)
        self._seen += passed

    def result(self, end: int) -> Checked:
        """What became of them."""
        indexes = slice(None) if self._indexes is None else np.asarray(self._indexes, dtype=np.int64)
        count = len(self._written)
        rows = Rows(
            lines=self._lines.numbers[indexes],
            fingerprints=np.fromiter(map(xxh3_64_intdigest, self._written), np.uint64, count),
            ends=np.cumsum(np.fromiter(map(len, self._written), np.int32, count), dtype=np.int32),
            data=b"".join(self._written),
        )
        taken = self._records.taken
        self._count.rows = self._seen
        self._findings.row.clear()
        return Checked(
            seen=self._seen,
            count=self._count,
            findings=self._findings,
            measures=measure(self._texts, rows.lines, rows.fingerprints),
            rows=self._packer.pack(rows) if self._packer else rows,
            offsets=self._lines.offsets[indexes],
            end=max(end, taken[-1].end) if taken else end,
            next_line=taken[-1].number + 1 if taken else 0,
            ended=self._records.ended,
            aside=self._aside,
        )

    def _look(self, index: int) -> int:
        """The long look at one row; the index of the line to go on with."""
        line = self._lines.line(index)
        self._seen += 1
        self._findings.row.clear()
        record = self._records.read(line, self._lines.following(index))
        accepted = self._checks.check(record) if record is not None else None
        if accepted is not None:
            self._take(index, accepted.contents, accepted.json)
        elif self._rules.set_aside:
            self._aside.append(aside([line, *self._records.taken], self._findings.row))
        taken = self._records.taken
        return index + 1 + taken[-1].number - line.number if taken else index + 1

    def _take(self, index: int, contents: Contents, written: bytes) -> None:
        if self._indexes is not None:
            self._indexes.append(index)
        self._contents.append(contents)
        self._written.append(plain_value(written))

    def _passed(self, rows: int) -> None:
        if self._rules.form is not None:
            self._count.forms[self._rules.form] += rows
        if self._rules.form is Form.TEXT and self._rules.markers is not None:
            self._count.marked += rows


def _leave_out_repeats(contents: list[Contents | None], texts: list[bytes], values: list[Any]) -> None:
    """Puts None where a field may be there twice."""
    passed = [index for index, each in enumerate(contents) if each is not None]
    if values_may_repeat([texts[index] for index in passed], [values[index] for index in passed]):
        for index in passed:
            if values_may_repeat(texts[index : index + 1], values[index : index + 1]):
                contents[index] = None


def _without_suspects(contents: list[Contents | None]) -> list[Contents | None]:
    suspect = iter(suspects([each for each in contents if each is not None]))
    return [each if each is not None and not next(suspect) else None for each in contents]
