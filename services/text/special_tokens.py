"""A tokenizer's special tokens, as they are looked for in a rendered text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

_KEPT = 8


class SpecialTokens(NamedTuple):
    """Patterns of them."""

    any: re.Pattern[str]
    """Any of them."""
    end_of_text: re.Pattern[str]
    """The one that ends a text, perhaps after white space."""


def special_tokens(tokenizer: Any) -> SpecialTokens:
    """The patterns of a tokenizer; they are made once, and anew when tokens are added or take another meaning."""
    return _patterns(tokenizer, len(tokenizer), str(tokenizer.special_tokens_map))


@lru_cache(_KEPT)
def _patterns(tokenizer: Any, size: int, meanings: str) -> SpecialTokens:
    tokens = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    tokens |= {str(token) for token in tokenizer.all_special_tokens}
    longest_first = sorted(tokens, key=len, reverse=True)
    return SpecialTokens(
        any=re.compile("|".join(map(re.escape, longest_first)) or r"(?!)"),
        end_of_text=re.compile(r"\s*" + re.escape(str(tokenizer.eos_token))),
    )
