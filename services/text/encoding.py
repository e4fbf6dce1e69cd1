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
    if not texts:
        return []
    batch = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        split_special_tokens=not special,
        verbose=False,
    )
    return [Encoded(i, o) for i, o in zip(batch["input_ids"], batch["offset_mapping"], strict=True)]


def encodings_of(texts: Sequence[str], tokenizer: Any, *, special: bool = False) -> Sequence[Any]:
    """The same as the tokenizer's own objects (`tokenizers.Encoding`), for callers that need little of each."""
    if not texts:
        return []
    batch = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        split_special_tokens=not special,
        verbose=False,
    )
    encodings: Sequence[Any] = batch.encodings
    return encodings


def leading_ids(tokenizer: Any) -> list[int]:
    """What the tokenizer puts in front of a text, such as BOS; often nothing."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a", add_special_tokens=True)["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return list(full[:start])
    return []
