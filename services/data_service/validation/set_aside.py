"""Rows that were set aside, as lines of JSON that a person can mend and bring back."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from services.data_service.validation.blocks import Aside
from services.data_service.validation.lines import Line


def aside(lines: Sequence[Line], errors: Sequence[tuple[str, str, str]]) -> Aside:
    """A line about a row: where it stood, what is wrong with it, and its text.

    Args:
        lines: what it was written on. Bytes that are not UTF-8 become \\xNN; of a line that is too long only the
            beginning is kept.
        errors: reason and texts in both languages of everything that is wrong.
    """
    text = b"\n".join(line.data for line in lines).decode("utf-8", "backslashreplace")
    cut = any(line.too_long for line in lines)
    return note(lines[0].number, lines[0].column, text, errors, cut=cut)


def note(line: int, column: int, text: str, errors: Sequence[tuple[str, str, str]], *, cut: bool = False) -> Aside:
    """The same for a row of which only the text is at hand."""
    value = {
        "line": line,
        **({"column": column} if column else {}),
        "reasons": list(dict.fromkeys(reason for reason, _, _ in errors)),
        "message": {"en": " ".join(en for _, en, _ in errors), "ja": "".join(ja for _, _, ja in errors)},
        "text": text.encode("utf-8", "backslashreplace").decode(),
        **({"text_cut": True} if cut else {}),
    }
    return Aside(line, column, orjson.dumps(value) + b"\n")
