"""Normalising of characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from services.data_service.recipe import Normalization

_HALF_WIDTH = re.compile("[\uff61-\uff9f]+")
# NFKC makes combining marks of the half-width ones; alone they would sit on whatever stands before them.
_SPACING = str.maketrans({"\u3099": "\u309b", "\u309a": "\u309c"})


def normaliser(kind: Normalization) -> Callable[[str], str] | None:
    """What normalises a text; None for leaving it."""
    if kind is Normalization.NFKC:
        return nfkc
    return full_width_kana if kind is Normalization.HALFWIDTH_KANA else None


def nfkc(text: str) -> str:
    """The text in Unicode's form NFKC."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def full_width_kana(text: str) -> str:
    """The text with half-width katakana and their punctuation in full width: ｶﾞ → ガ. Nothing else changes."""
    return text if text.isascii() else _HALF_WIDTH.sub(_full_width, text)


def _full_width(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0]).translate(_SPACING)
