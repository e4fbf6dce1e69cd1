"""What lines of JSON have in common that differ in nothing but their texts.

Such lines have the same names in the same order and the same speakers. What is found out by the texts of one of them,
each replaced by a placeholder, holds for all: whether its row has the form that is wanted, which texts its example is
made of, and how its canonical form is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, repeat, zip_longest
from typing import NamedTuple, TypeAlias

import orjson

from services.data_service.validation.blocks import Numbers
from services.data_service.validation.quick_rows import QuickRows
from services.data_service.validation.records import repeated_field
from services.data_service.validation.row_checks import canonical
from services.text.rows import unused_fields

_COLON = re.compile(rb"[ \t\r]*:")
_SPEAKERS = (b'"role"', b'"from"')
_PLACEHOLDER = "\ue000%d\ue001"  # code points that nobody has given a meaning
_PLACEHOLDERS = re.compile("\ue000([0-9]+)\ue001")
_OPENING = "\ue000".encode()
_MAX_PROBED = 1000
_Probe: TypeAlias = tuple[tuple[bytes, ...], tuple[int, ...], tuple[int, ...], int, tuple[str, ...]]


class Skeleton(NamedTuple):
    """A kind of lines."""

    quotes: int
    """How many a line has, those within texts aside."""
    openings: tuple[int, ...]
    """Which of them open a text; the next one closes it."""
    literals: tuple[bytes, ...]
    """What stands before, between and behind the texts, with their quotes."""
    written: tuple[bytes, ...]
    """The same in the canonical form."""
    order: tuple[int, ...]
    """Which text stands where in the canonical form."""
    said: tuple[int, ...]
    """Which texts the example is made of."""
    joining: int
    """Characters that the example has between them."""
    unused: tuple[str, ...]
    """Fields that hold something but are not used."""

    def write(self, lengths: Numbers, texts: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The canonical form of lines, as plain values.

        Args:
            lengths: [lines], of the texts that are written of a line, in bytes.
            texts: [texts][lines], what they are.
        """
        sizes = (lengths + sum(map(len, self.written))).astype("<u4")
        pieces: list[Iterable[bytes]] = [sizes.view("V4").tolist(), repeat(self.written[0], len(sizes))]
        for number, literal in zip(self.order, self.written[1:], strict=True):
            pieces += [texts[number], repeat(literal, len(sizes))]
        return list(map(b"".join, zip(*pieces, strict=True)))


class Skeletons:
    """Finds the skeletons of lines. What a row is says `rows`, once for each kind."""

    def __init__(self, rows: QuickRows) -> None:
        self._rows = rows
        self._probed: dict[tuple[bytes, ...], _Probe | None] = {}

    def of(self, line: bytes, quotes: Sequence[int]) -> Skeleton | None:
        """The skeleton of a line; None where its row needs another look.

        Args:
            line: without its end.
            quotes: where its quotes are, those within texts aside.
        """
        if len(quotes) % 2 or _OPENING in line:
            return None
        openings = _openings(line, quotes)
        if not openings:
            return None
        cuts = [0, *chain.from_iterable((quotes[each] + 1, quotes[each + 1]) for each in openings), len(line)]
        literals = tuple(line[start:end] for start, end in zip(cuts[::2], cuts[1::2], strict=True))
        found = self._probe(literals)
        return found and Skeleton(len(quotes), openings, literals, *found)

    def _probe(self, literals: tuple[bytes, ...]) -> _Probe | None:
        if literals not in self._probed:
            if len(self._probed) == _MAX_PROBED:
                self._probed.clear()
            self._probed[literals] = _probe(literals, self._rows)
        return self._probed[literals]


def _openings(line: bytes, quotes: Sequence[int]) -> tuple[int, ...]:
    """The texts: strings that are not empty and neither name a field nor a speaker."""
    openings = []
    name = b""
    for number in range(0, len(quotes), 2):
        start, end = quotes[number], quotes[number + 1] + 1
        if _COLON.match(line, end):
            name = line[start:end]
        else:
            if end - start > 2 and name not in _SPEAKERS:
                openings.append(number)
            name = b""
    return tuple(openings)


def _probe(literals: Sequence[bytes], rows: QuickRows) -> _Probe | None:
    """What a row is with placeholders for its texts, as the last fields of its skeleton."""
    placeholders = [(_PLACEHOLDER % number).encode() for number in range(len(literals) - 1)]
    pieces = chain.from_iterable(zip_longest(literals, placeholders, fillvalue=b""))
    line = b"".join(pieces)
    try:
        row = orjson.loads(line)
    except ValueError:
        return None
    row = rows.rename(row)
    contents = rows.contents([row])[0]
    if contents is None or repeated_field(line.decode()) is not None:
        return None
    example = "".join(contents)
    written = _PLACEHOLDERS.split(canonical(row).decode())
    return (
        tuple(literal.encode() for literal in written[::2]),
        tuple(map(int, written[1::2])),
        tuple(map(int, _PLACEHOLDERS.findall(example))),
        len(_PLACEHOLDERS.sub("", example)),
        tuple(unused_fields(row, rows.form)) if rows.form is not None else (),
    )
