"""Text into tokens with offsets, the same way for training and serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Encoded:
    """Tokens of one text."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """First character and the one after the last, for each token."""


def encode(texts: Sequence[str], tokenizer: Any, *, special: bool = False) -> list[Encoded]:
    """Tokens of each text, nothing put in front or behind.

    With `special` the names of special tokens in the text become those tokens, as chat templates need it; without,
    they stay text, so that no row can slip in a stop token.
    """
    return [Encoded(one.ids, one.offsets) for one in encodings_of(texts, tokenizer, special=special)]


def encodings_of(texts: Sequence[str], tokenizer: Any, *, special: bool = False) -> Sequence[Any]:
    """The same as the tokenizer's own objects (`tokenizers.Encoding`), for callers that need little of each."""
    backend = tokenizer.backend_tokenizer
    # Changed only where it is otherwise: another thread may be encoding.
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    if backend.encode_special_tokens is special:
        backend.encode_special_tokens = not special
    encodings: Sequence[Any] = backend.encode_batch(list(texts), add_special_tokens=False)
    return encodings


def leading_ids(tokenizer: Any) -> list[int]:
    """What the tokenizer puts in front of a text, such as BOS; often nothing."""
    backend = tokenizer.backend_tokenizer  # calling the tokenizer changes it, and another thread may be encoding
    bare, full = (backend.encode("a", add_special_tokens=special).ids for special in (False, True))
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return list(full[:start])
    return []
