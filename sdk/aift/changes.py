"""What changed between two rows, for people: the same pieces on a terminal and on the page."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Literal

from aift.data.v1 import data_pb2

Kind = Literal["same", "removed", "added"]
_LONGEST = 2000
"""Characters up to which single characters are compared: the comparison takes the square of it."""


def row_text(row: data_pb2.Row) -> str:
    """A row as one text: what is shown and what is learned, else the whole row."""
    parts = [part for part in (row.prompt, row.completion, row.rejected) if part]
    return "\n".join(parts) if parts else row.json


def changed_pieces(change: data_pb2.RowChange) -> list[tuple[Kind, str]]:
    """The row before and after as pieces in order; of a new or a dropped row one piece."""
    if not change.HasField("before"):
        return [("added", row_text(change.after))]
    if not change.HasField("after"):
        return [("removed", row_text(change.before))]
    before, after = row_text(change.before), row_text(change.after)
    if before == after:  # only the names around the texts changed
        before, after = change.before.json, change.after.json
    return pieces(before, after)


def pieces(before: str, after: str) -> list[tuple[Kind, str]]:
    """Two texts as what both have, what only the first has and what only the second has."""
    if before == after:
        return [("same", before)]
    if max(len(before), len(after)) > _LONGEST:
        return [("removed", before), ("added", after)]
    found: list[tuple[Kind, str]] = []
    for tag, start, end, new_start, new_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            found.append(("same", before[start:end]))
            continue
        found += [("removed", before[start:end])] if start < end else []
        found += [("added", after[new_start:new_end])] if new_start < new_end else []
    return found
