"""What changed between two rows, for people: the same pieces on a terminal and on the page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from aift.data.v1 import data_pb2

Kind = Literal["same", "removed", "added"]
_SENTENCES = re.compile(r"[^\n。！？]*(?:[\n。！？]+|$)")
_WORDS = re.compile(r"\w(?:(?<=[A-Za-z0-9_])[A-Za-z0-9_]+)?|\s+|.", re.DOTALL)
_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+-]+|\s+|.', re.DOTALL)
_MOST_COMPARISONS = 4_000_000
"""Parts of one text times parts of the other: comparing takes that long at the worst."""
_CONTEXT = 60
"""Characters that are shown around a change."""
_LONGEST = 600
"""Characters that are shown of what was removed or added in one piece."""


class _Change(NamedTuple):
    same: str
    """What both have before it."""
    removed: str
    added: str


def _row_text(row: data_pb2.Row) -> str:
    """A row as one text: what is shown and what is learned, else the whole row."""
    parts = [part for part in (row.prompt, row.completion, row.rejected) if part]
    return "\n".join(parts) if parts else row.json


def changed_pieces(change: data_pb2.RowChange) -> list[tuple[Kind, str]]:
    """What changed, each with a little around it; of a new or a dropped row one piece."""
    if not change.HasField("before"):
        return [("added", _cut(_row_text(change.after)))]
    if not change.HasField("after"):
        return [("removed", _cut(_row_text(change.before)))]
    before, after = _row_text(change.before), _row_text(change.after)
    if before != after:
        return in_context(pieces(before, after))
    # Only the names around the texts changed.
    return in_context(_pieces(change.before.json, change.after.json, (_JSON,)))


def pieces(before: str, after: str) -> list[tuple[Kind, str]]:
    """Two texts as what both have, what only the first has and what only the second has: words or more at a time."""
    return _pieces(before, after, (_SENTENCES, _WORDS))


def in_context(pieces: Sequence[tuple[Kind, str]]) -> list[tuple[Kind, str]]:
    """The pieces with … in place of what is far from any change, or in the middle of a long one."""
    last = len(pieces) - 1
    return [
        (kind, _near(piece, first=number == 0, last=number == last) if kind == "same" else _cut(piece))
        for number, (kind, piece) in enumerate(pieces)
    ]


def _pieces(before: str, after: str, parts: Sequence[re.Pattern[str]]) -> list[tuple[Kind, str]]:
    changes = _joined(list(_changes(before, after, parts)))
    shown: list[tuple[Kind, str]] = []
    for change in changes:
        kinds: tuple[Kind, ...] = ("same", "removed", "added")
        shown += [(kind, text) for kind, text in zip(kinds, change, strict=True) if text]
    return shown


def _changes(before: str, after: str, parts: Sequence[re.Pattern[str]]) -> Iterator[_Change]:
    """What differs, by parts of the first kind, and within these by parts of the next."""
    if not parts or not before or not after:
        yield _Change("", before, after)
        return
    old, new = parts[0].findall(before), parts[0].findall(after)
    head = _alike(old, new)
    tail = _alike(old[head:][::-1], new[head:][::-1])
    yield _Change("".join(old[:head]), "", "")
    yield from _middle(old[head : len(old) - tail], new[head : len(new) - tail], parts[1:])
    yield _Change("".join(old[len(old) - tail :]), "", "")


def _middle(old: list[str], new: list[str], parts: Sequence[re.Pattern[str]]) -> Iterator[_Change]:
    if len(old) * len(new) > _MOST_COMPARISONS:
        yield _Change("", "".join(old), "".join(new))
        return
    for tag, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield _Change("".join(old[start:end]), "", "")
        else:
            yield from _changes("".join(old[start:end]), "".join(new[new_start:new_end]), parts)


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


def _joined(changes: list[_Change]) -> list[_Change]:
    """The changes, those as one that have hardly anything between them: else what changed cannot be read."""
    joined: list[_Change] = []
    for change in changes:
        if joined and not (joined[-1].removed or joined[-1].added):  # both have what is before and here
            change = change._replace(same=joined.pop().same + change.same)
        before = joined[-1] if joined else None
        if before is not None and 2 * len(change.same) <= min(_size(before), _size(change)):
            same = change.same
            joined[-1] = _Change(
                before.same, before.removed + same + change.removed, before.added + same + change.added
            )
        else:
            joined.append(change)
    return joined


def _size(change: _Change) -> int:
    return max(len(change.removed), len(change.added))


def _near(same: str, *, first: bool, last: bool) -> str:
    if len(same) <= _CONTEXT * (1 if first or last else 2) + 1 or (first and last):
        return same
    head, tail = "" if first else same[:_CONTEXT], "" if last else same[-_CONTEXT:]
    return f"{head}…{tail}"


def _cut(piece: str) -> str:
    return piece if len(piece) <= _LONGEST else f"{piece[: _LONGEST * 2 // 3]}…{piece[-_LONGEST // 3 :]}"
