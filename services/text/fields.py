"""Single fields of a row, and what is wrong with them. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.text.problems import Problem

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_LABELS = {"true": True, "false": False, "1": True, "0": False}


def string(
    fields: Mapping[str, Any], name: str, problems: list[Problem], *, optional: bool = False, path: str = ""
) -> str:
    """The field's text; notes what is wrong with it and returns "" then."""
    value = fields.get(name)
    if isinstance(value, str) and value.strip() and not _NO_TEXT.search(value):
        return value
    if not (optional and value in (None, "")):
        problems.append(_unfit(fields, name, f"{path}.{name}" if path else name))
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


def _unfit(fields: Mapping[str, Any], name: str, place: str) -> Problem:
    """Why a field is no text."""
    if name not in fields:
        return missing(place)
    if not isinstance(fields[name], str):
        return wrong_type(place, "a string", "文字列")
    if not fields[name].strip():
        return empty(place)
    return _nul(place) if "\0" in fields[name] else _surrogate(place)


def _nul(place: str) -> Problem:
    en = f"{place} holds NUL (\\u0000), which no text has; remove it"
    ja = f"{place} に NUL（\\u0000）が含まれています。取り除いてください"
    return Problem("INVALID_CHARACTERS", place, en, ja)


def _surrogate(place: str) -> Problem:
    en = f"{place} holds half of a surrogate pair, which is no character; write the character itself, or both halves"
    ja = f"{place} にサロゲートペアの片方だけが含まれています。文字そのものか、両方を書いてください"
    return Problem("INVALID_CHARACTERS", place, en, ja)
