"""Tokens to text as they come: whole characters only, and nothing that may yet become a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

# What a tokenizer decodes from bytes that are not a whole character yet.
_INCOMPLETE = "\ufffd"
# Prompt tokens that give the first new ones their context (leading spaces of SentencePiece).
_CONTEXT_TOKENS = 6


class Decoder(Protocol):
    """The one method of a tokenizer that is needed here."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = ...) -> str:
        """The text of the tokens."""
        ...


class Detokenizer:
    """The text of one completion. ``push`` and ``flush`` return what may be shown now."""

    def __init__(self, decoder: Decoder, prompt_ids: Sequence[int], stop: Sequence[str]) -> None:
        self._decoder = decoder
        self._ids = list(prompt_ids[-_CONTEXT_TOKENS:])
        self._prefix = 0
        self._read = len(self._ids)
        self._stop = [text for text in stop if text]
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Takes the next token; sets ``stopped`` when a stop string is complete, and cuts the text before it."""
        self._ids.append(token)
        text = self._decode(self._prefix, len(self._ids))
        known = self._decode(self._prefix, self._read)
        if text.endswith(_INCOMPLETE) or len(text) <= len(known):
            return ""
        self._prefix, self._read = self._read, len(self._ids)
        return self._release(text[len(known) :])

    def flush(self) -> str:
        """The rest, at the end: held-back text and a character that stayed incomplete."""
        if self.stopped:
            return ""
        text = self._decode(self._prefix, len(self._ids))
        known = self._decode(self._prefix, self._read)
        rest = self._release(text[len(known) :])
        held, self._held = self._held, ""
        return rest if self.stopped else rest + held

    def _decode(self, start: int, end: int) -> str:
        return self._decoder.decode(self._ids[start:end], skip_special_tokens=True)

    def _release(self, new: str) -> str:
        text = self._held + new
        ends = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        cut = len(text) - keep
        self._held = text[cut:]
        return text[:cut]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text are the beginning of the stop string."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
