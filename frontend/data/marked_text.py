"""Texts with marks in them, as HTML: everything that comes from data is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from aift.changes import changed_pieces
from aift.data.v1 import data_pb2

_TRAINED = "background:#2e7d3255;border-radius:2px;color:inherit"
_REMOVED = "background:#c6282844;color:inherit"
_ADDED = "background:#2e7d3244;color:inherit;text-decoration:none"
_FRAME = "white-space:pre-wrap;overflow-wrap:anywhere;margin:0;line-height:1.7;font-family:inherit"


def supervised(tokens: Iterable[data_pb2.SupervisedToken]) -> str:
    """Tokens, the trained ones marked; line breaks inside are shown."""
    spans = []
    for token in tokens:
        text = escape(token.text).replace("\n", "↵\n")
        spans.append(f'<mark style="{_TRAINED}" title="{token.id}">{text}</mark>' if token.trained else text)
    return f'<pre style="{_FRAME}">{"".join(spans)}</pre>'


def changed(change: data_pb2.RowChange) -> str:
    """A row before and after, in one text."""
    spans = []
    for kind, piece in changed_pieces(change):
        text = escape(piece)
        if kind == "removed":
            text = f'<del style="{_REMOVED}">{text}</del>'
        elif kind == "added":
            text = f'<ins style="{_ADDED}">{text}</ins>'
        spans.append(text)
    return f'<pre style="{_FRAME}">{"".join(spans)}</pre>'
