"""Where an element of a JSON array ends that no parser reads: its brackets are matched, its strings passed over."""

from __future__ import annotations

import re

# A string stands on one line. The lone quote at the end matches only where none can be read.
_TOKEN = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|[\[\]{},"]')
_CLOSED_BY = {"{": "}", "[": "]"}


class Unmatched(Exception):
    """A string is not closed on its line, or a bracket is closed by another."""


def element_end(text: str, start: int) -> int | None:
    """Index of the comma or bracket that follows the element which begins at `start`; None when it lies behind `text`.

    Raises:
        Unmatched: what is a string and what is none cannot be told apart for certain.
    """
    expected: list[str] = []
    for found in _TOKEN.finditer(text, start):
        mark = found.group()
        if mark in _CLOSED_BY:
            expected.append(_CLOSED_BY[mark])
        elif not expected and mark in ",]":
            return found.start()
        elif mark in "]}":
            if not expected or expected.pop() != mark:
                raise Unmatched
        elif mark == '"':
            if "\n" in text[found.start() :]:
                raise Unmatched
            return None
    return None


def line_end(text: str, start: int, indent: str) -> int | None:
    """Index of the first comma after `start` that ends a line before one which begins with `indent` and an object."""
    found = re.compile(rf",(?=[ \t\r]*\n{re.escape(indent)}\{{)").search(text, start)
    return found.start() if found else None
