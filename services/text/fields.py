"""Single fields of a row, and what is wrong with them. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.text.problems import Problem

_SURROGATE = re.compile("[\ud800-\udfff]")
_LABELS = {"true": True, "false": False, "1": True, "0": False}


def string(
    fields: Mapping[str, Any], name: str, problems: list[Problem], *, optional: bool = False, path: str = ""
) -> str:
    """The field's text; notes what is wrong with it and returns "" then."""
    place, value = f"{path}.{name}" if path else name, fields.get(name)
    if optional and value in (None, ""):
        return ""
    if name not in fields:
        problems.append(missing(place))
    elif not isinstance(value, str):
        problems.append(wrong_type(place, "a string", "文字列"))
    elif not value.strip():
        problems.append(empty(place))
    elif "\0" in value:
        problems.append(_nul(place))
    elif _SURROGATE.search(value):
        problems.append(_surrogate(place))
    else:
        return value
    return ""


def label(fields: Mapping[str, Any], name: str, problems: list[Problem]) -> bool:
    """True or false, also as 1 and 0 or as text, which is how tables hold them; notes what is wrong."""
    value = fields.get(name)
    known = _LABELS.get(str(value).strip().lower()) if isinstance(value, (bool, int, str)) else None
    if known is None:
        problems.append(missing(name) if name not in fields else wrong_type(name, "true or false", " true か false "))
    return bool(known)


def missing(place: str) -> Problem:
    """The field is not there."""
    return Problem("MISSING_FIELD", place, f"{place} is missing", f"{place} がありません")


def empty(place: str) -> Problem:
    """The field is there, but nothing is in it."""
    return Problem("EMPTY_FIELD", place, f"{place} is empty", f"{place} が空です")


def wrong_type(place: str, en: str, ja: str) -> Problem:
    """The field holds something else than it must."""
    return Problem("WRONG_TYPE", place, f"{place} must be {en}", f"{place} は{ja}でなければなりません")


def _nul(place: str) -> Problem:
    en = f"{place} holds NUL (\\u0000), which no text has; remove it"
    ja = f"{place} に NUL（\\u0000）が含まれています。取り除いてください"
    return Problem("INVALID_CHARACTERS", place, en, ja)


def _surrogate(place: str) -> Problem:
    en = f"{place} holds half of a surrogate pair, which is no character; write the character itself, or both halves"
    ja = f"{place} にサロゲートペアの片方だけが含まれています。文字そのものか、両方を書いてください"
    return Problem("INVALID_CHARACTERS", place, en, ja)
