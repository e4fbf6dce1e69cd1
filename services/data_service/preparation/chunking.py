"""Cutting of long texts where they may be cut: after a paragraph, a sentence or a line."""

from __future__ import annotations

import re
from itertools import pairwise

import regex

from services.data_service.recipe import Chunking

_PARAGRAPH = re.compile(r"\n[ \t　]*\n+")
_SENTENCE = re.compile(r"[。！？!?．]+[」』）)】”’\"]*|\n|(?<=[A-Za-z)])\.(?=\s)")
_WORD = re.compile(r"[、，,;；\s]")
_GRAPHEME = regex.compile(r"\X")
# Most of what a text is written with never joins the character before it; to know it saves a long look.
_BEGINS_A_LETTER = re.compile("[ -~\u3000-\u3029\u3030-\u3098\u309b-\u9fff\uff01-\uff9d]")
_LOOK_BACK = 64


def chunks(text: str, how: Chunking) -> list[str]:
    """The text in pieces, without the line breaks around them; pieces of white space are left out."""
    pieces = (text[start:end].strip("\r\n") for start, end in spans(text, how))
    return [piece for piece in pieces if piece.strip()]


def spans(text: str, how: Chunking) -> list[tuple[int, int]]:
    """Where the pieces begin and end: together they cover the text, and none is longer than allowed."""
    found: list[tuple[int, int]] = []
    start = 0
    while len(text) - start > how.max_characters:
        end = _end(text, start, start + how.max_characters, how.overlap_characters)
        found.append((start, end))
        start = max(start + 1, _next_start(text, end - how.overlap_characters, end))
    return [*found, (start, len(text))]


def _end(text: str, start: int, limit: int, overlap: int) -> int:
    """The best place to cut: late rather than early, but at the end of a sentence where there is one."""
    half = start + (limit - start) // 2
    for boundary, least in (
        (_PARAGRAPH, half),
        (_SENTENCE, half),
        (_SENTENCE, start + overlap),  # an earlier one would begin the next piece where this one began
        (_WORD, half),
    ):
        ends = [match.end() for match in boundary.finditer(text, least, limit) if match.end() > least]
        if ends:
            return _whole(text, start, ends[-1])
    return _whole(text, start, limit)


def _next_start(text: str, earliest: int, end: int) -> int:
    """Where the next piece begins: at a sentence's beginning in the overlap where there is one."""
    if earliest >= end:
        return end
    match = _SENTENCE.search(text, earliest, end)
    if match is not None and match.end() < end:
        return match.end()
    _, after = _letter(text, 0, earliest)
    return min(after, end)


def _whole(text: str, start: int, cut: int) -> int:
    """The cut, moved back where it would part a letter from its marks."""
    before, _ = _letter(text, start, cut)
    return before if before > start else cut


def _letter(text: str, start: int, cut: int) -> tuple[int, int]:
    """Where the letter that the cut parts begins and ends, with all its marks; the cut itself where it parts none."""
    if cut == len(text) or _BEGINS_A_LETTER.match(text, cut):
        return cut, cut
    begin = max(start, cut - _LOOK_BACK)
    ends = [begin + match.end() for match in _GRAPHEME.finditer(text[begin : cut + _LOOK_BACK])]
    for before, after in pairwise([begin, *ends]):
        if before < cut < after:
            return before, after
    return cut, cut
