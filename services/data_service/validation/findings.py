"""Collects what is wrong: for each reason and text a count, and its first places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.data_service.report import Example, Finding, Severity
from services.data_service.validation.excerpt import excerpt, printable
from services.data_service.validation.reasons import Reason

MAX_EXAMPLES = 10
MAX_TEXTS = 10
"""A report has no more texts of one reason."""
_OTHERS = (
    "Further rows have the same in yet other ways. Look at the places, and at the remedies above.",
    "ほかの行にも同じ種類の問題が別の形であります。該当箇所と上の対処をご覧ください。",
)


class Findings:
    """Findings by reason and text, so that what a finding says is true of all its rows.

    A row counts once for each reason. Of a reason with more than `max_texts` texts the later ones are one finding. While
    a block is read there may be many, so that it makes no difference where blocks end.
    """

    def __init__(self, max_texts: int = 1000) -> None:
        self._max_texts = max_texts
        self._texts: Counter[str] = Counter()
        self._found: dict[tuple[str, str], Finding] = {}
        self._fatal: set[str] = set()
        self.row: list[tuple[str, str, str]] = []
        """Errors of the row that is looked at: reason and texts. Whoever begins a row clears it."""

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(
        self, reason: Reason, example: Example | None = None, *, count: int = 1, fatal: bool = False, **values: Any
    ) -> None:
        """Counts one more place of `reason`; `values` fill its texts. `fatal`: the rest of the file was not read."""
        en, ja = reason.en.format_map(values), reason.ja.format_map(values)
        self.add_text(reason.name, reason.severity, (en, ja), [] if example is None else [example], count=count)
        if fatal:
            self._fatal.add(reason.name)

    def add_text(
        self,
        name: str,
        severity: Severity,
        text: tuple[str, str],
        examples: Sequence[Example],
        *,
        exact: tuple[str, str] | None = None,
        count: int = 1,
    ) -> None:
        """The same for a reason whose texts are filled in already; `exact` is what is said of this row alone."""
        # The texts may quote the file.
        en, ja = map(printable, text)
        finding = self._finding(name, severity, en, ja)
        finding.count += count
        finding.examples += examples[: MAX_EXAMPLES - len(finding.examples)]
        if severity is Severity.ERROR:
            en, ja = map(printable, exact or text)
            self.row.append((name, en, ja))

    def _finding(self, name: str, severity: Severity, en: str, ja: str) -> Finding:
        if (name, en) not in self._found:
            if self._texts[name] >= self._max_texts:
                en, ja = _OTHERS
            self._texts[name] += en != _OTHERS[0]
        return self._found.setdefault((name, en), Finding(reason=name, severity=severity, en=en, ja=ja))

    def merge(self, later: Findings, prefix: str = "") -> None:
        """Adds what was found further on in the file; `prefix` is put before the excerpts."""
        places: dict[tuple[str, str], list[Example]] = {}
        for finding in later._found.values():
            mine = self._finding(finding.reason, finding.severity, finding.en, finding.ja)
            mine.count += finding.count
            places.setdefault((mine.reason, mine.en), []).extend(finding.examples)
        for key, examples in places.items():
            first = sorted(examples, key=lambda example: example.line)[: MAX_EXAMPLES - len(self._found[key].examples)]
            self._found[key].examples += [_prefixed(example, prefix) for example in first]
        self._fatal |= later._fatal

    @property
    def has_errors(self) -> bool:
        """Whether any of them keeps the version from being made."""
        return any(finding.severity is Severity.ERROR for finding in self._found.values())

    def holds(self, reason: Reason) -> bool:
        """Whether something was found for a reason of that name."""
        return self._texts[reason.name] > 0

    def excuse_rows(self) -> None:
        """Makes warnings of the errors of single rows, which were set aside."""
        for finding in self._found.values():
            if finding.reason not in self._fatal:
                finding.severity = Severity.WARNING

    def sorted(self) -> list[Finding]:
        """Errors first, then by frequency."""
        return sorted(self._found.values(), key=lambda finding: (finding.severity is Severity.WARNING, -finding.count))


def place(line: int, offset: int, text: str, position: int | None = None, *, column: int = 0) -> Example:
    """A place in a line, or in a row that may stand on several.

    Args:
        line: number of the line where the text begins, from 1.
        offset: byte offset of the text in the file.
        text: the line or the row.
        position: character in the text, from 0; None when all of it is meant.
        column: character of the line where the text begins, from 1; 0 when it is the line.
    """
    before = text[: position or 0]
    if position is not None:
        column = max(column, 1) + position if "\n" not in before else position - before.rfind("\n")
    return Example(
        line=line + before.count("\n"),
        column=column,
        byte_offset=offset + len(before.encode("utf-8", "surrogatepass")),
        field="",
        excerpt=excerpt(text, len(before)),
    )


def whole_line(line: int, offset: int, shown: str = "", field: str = "", *, column: int = 0) -> Example:
    """The place of a whole line, with what is shown of it; or of a row that begins in the line at a column, from 1."""
    return Example(line=line, column=column, byte_offset=offset, field=field, excerpt=shown)


def _prefixed(example: Example, prefix: str) -> Example:
    return replace(example, excerpt=excerpt(f"{prefix}{example.excerpt}")) if prefix else example
