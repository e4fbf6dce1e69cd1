"""Rows whose answers are compared or judged, as the conversations that a model sees. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.text.examples import Conversation, Example, Labeled, Message, Preference


class Text(NamedTuple):
    """One of the texts of a row."""

    example: Example
    answer: str
    """"chosen" or "rejected" where a row has both, else empty."""


def texts_of(example: Example) -> tuple[Text, ...]:
    """What is rendered of a row: one text, or two where answers are compared."""
    if isinstance(example, Preference):
        chosen, rejected = (answered(example.turns, answer) for answer in (example.chosen, example.rejected))
        return Text(chosen, "chosen"), Text(rejected, "rejected")
    if isinstance(example, Labeled):
        return (Text(answered(example.turns, example.completion), ""),)
    return (Text(example, ""),)


def answered(turns: Sequence[Message], answer: str) -> Conversation:
    """The turns with an answer, which alone counts."""
    return Conversation((*turns, Message("assistant", answer)), only_last=True)
