"""Collects what is wrong: a count for each reason, and its first places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from services.data_service.report import Example, Finding, Severity
from services.data_service.validation.excerpt import excerpt, printable
from services.data_service.validation.reasons import Reason

MAX_EXAMPLES = 10


class Findings:
    """Findings by reason. The text of a reason is the one of its first place."""

    def __init__(self) -> None:
        self._by_reason: dict[str, Finding] = {}
        self._fatal: set[str] = set()
        self.row: list[tuple[str, str, str]] = []
        """Errors of the row that is looked at: reason and texts. Whoever begins a row clears it."""

    def __bool__(self) -> bool:
        return bool(self._by_reason)

    def add(
        self, reason: Reason, example: Example | None = None, *, count: int = 1, fatal: bool = False, **values: Any
    ) -> None:
        """Counts one more place of `reason`; `values` fill its texts. `fatal`: the rest of the file was not read."""
        en, ja = reason.en.format_map(values), reason.ja.format_map(values)
        self.add_text(reason.name, reason.severity, en, ja, example, count=count)
        if fatal:
            self._fatal.add(reason.name)

    def add_text(
        self, name: str, severity: Severity, en: str, ja: str, example: Example | None, *, count: int = 1
    ) -> None:
        """The same for a reason whose texts are filled in already."""
        finding = self._by_reason.get(name)
        if finding is None:
            # The texts may quote the file.
            finding = Finding(reason=name, severity=severity, en=printable(en), ja=printable(ja))
            self._by_reason[name] = finding
        finding.count += count
        if example is not None and len(finding.examples) < MAX_EXAMPLES:
            finding.examples.append(example)
        if severity is Severity.ERROR:
            self.row.append((name, printable(en), printable(ja)))

    def merge(self, later: Findings, prefix: str = "") -> None:
        """Adds what was found further on in the file; `prefix` is put before the excerpts."""
        for name, finding in later._by_reason.items():
            mine = self._by_reason.setdefault(name, replace(finding, count=0, examples=[]))
            mine.count += finding.count
            room = MAX_EXAMPLES - len(mine.examples)
            mine.examples += [_prefixed(example, prefix) for example in finding.examples[:room]]
        self._fatal |= later._fatal

    @property
    def has_errors(self) -> bool:
        """Whether any of them keeps the version from being made."""
        return any(finding.severity is Severity.ERROR for finding in self._by_reason.values())

    def excuse_rows(self) -> None:
        """Makes warnings of the errors of single rows, which were set aside."""
        for name, finding in self._by_reason.items():
            if name not in self._fatal:
                finding.severity = Severity.WARNING

    def sorted(self) -> list[Finding]:
        """Errors first, then by frequency."""
        return sorted(
            self._by_reason.values(), key=lambda finding: (finding.severity is Severity.WARNING, -finding.count)
        )


def place(line: int, offset: int, text: str, position: int | None = None, field: str = "") -> Example:
    """A place in a line.

    Args:
        line: number of the line, from 1.
        offset: byte offset of the line in the file.
        text: the line.
        position: character in the line, from 0; None when the whole line is meant.
        field: the field at fault.
    """
    at = position or 0
    return Example(
        line=line,
        column=0 if position is None else position + 1,
        byte_offset=offset + len(text[:at].encode("utf-8", "surrogatepass")),
        field=field,
        excerpt=excerpt(text, at),
    )


def whole_line(line: int, offset: int, shown: str = "", field: str = "") -> Example:
    """The place of a whole line, with what is shown of it."""
    return Example(line=line, column=0, byte_offset=offset, field=field, excerpt=shown)


def _prefixed(example: Example, prefix: str) -> Example:
    return replace(example, excerpt=excerpt(f"{prefix}{example.excerpt}")) if prefix else example
