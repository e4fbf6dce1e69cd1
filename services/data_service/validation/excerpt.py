"""Text from a user's file, made safe to show: short, on one line, without control characters."""

from __future__ import annotations

import json
from typing import Any

MAX_CHARACTERS = 200


def excerpt(text: str, start: int = 0) -> str:
    """At most 200 characters from `start` on, what cannot be printed written as an escape."""
    return printable(text[start : start + MAX_CHARACTERS])[:MAX_CHARACTERS]


def printable(text: str) -> str:
    """The text with an escape in place of every character that cannot be printed."""
    return text if text.isprintable() else "".join(_shown(character) for character in text)


def excerpt_of(value: Any) -> str:
    """A JSON value as it is written, cut."""
    if isinstance(value, str):
        return excerpt(value)
    return excerpt(json.dumps(value, ensure_ascii=False))


def excerpt_bytes(data: bytes, encoding: str) -> str:
    """Bytes read in an encoding, those that it does not know as \\xNN."""
    return excerpt(data[: 4 * MAX_CHARACTERS].decode(encoding, errors="backslashreplace"))


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
