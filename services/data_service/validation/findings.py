"""Collects what is wrong: a count for each reason, and its first places."""

from __future__ import annotations

from typing import Any

from services.data_service.report import Example, Finding, Severity
from services.data_service.validation.excerpt import excerpt, printable
from services.data_service.validation.reasons import Reason

MAX_EXAMPLES = 10


class Findings:
    """Findings by reason. The text of a reason is the one of its first place."""

    def __init__(self) -> None:
        self._by_reason: dict[str, Finding] = {}

    def __bool__(self) -> bool:
        return bool(self._by_reason)

    def add(self, reason: Reason, example: Example | None = None, *, count: int = 1, **values: Any) -> None:
        """Counts one more place of `reason`; `values` fill its texts."""
        en, ja = reason.en.format_map(values), reason.ja.format_map(values)
        self.add_text(reason.name, reason.severity, en, ja, example, count=count)

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

    @property
    def has_errors(self) -> bool:
        """Whether any of them keeps the version from being made."""
        return any(finding.severity is Severity.ERROR for finding in self._by_reason.values())

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
