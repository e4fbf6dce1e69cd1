"""Rows on their way through a preparation, and what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from services.data_service.domain import RowForm, Template, TrainOn
from services.text.examples import Example
from services.text.markers import Markers
from services.text.problems import ProblemError
from services.text.rows import Form, parse

_TURNS = ("messages", "conversations", "prompt", "completion", "chosen", "rejected")
_NO_TEXT = frozenset(("role", "from", "name", "id", "type", "tool_call_id"))
"""Fields of a turn that say who speaks, not what."""


@dataclass(frozen=True)
class Shape:
    """How rows are to be read: their form, and the markers that split texts."""

    form: RowForm
    markers: Markers | None = None
    trained_whole: bool = False
    """Whether prompts are trained as answers are."""

    @classmethod
    def of(cls, template: Template) -> Shape:
        """The shape of a version's rows."""
        whole = template.train_on is TrainOn.ALL
        if not template.prompt_marker or (whole and template.form is RowForm.TEXT):
            return cls(template.form, None, whole)
        return cls(template.form, Markers(template.prompt_marker, template.completion_marker), whole)

    def example(self, value: dict[str, Any]) -> Example:
        """What the model would learn of a row. Raises ProblemError."""
        return parse(value, Form[self.form.name], self.markers, tools=True)

    def contents(self, value: dict[str, Any]) -> tuple[str, ...]:
        """The texts of a row in order: of all turns, prompts and answers, without markers and roles."""
        if self.form is RowForm.TEXT and self.markers is None:
            return (value["text"],)
        try:
            return self.example(value).contents
        except ProblemError:  # a step made it so, such as two answers that became equal; the check refuses it later
            return tuple(_strings(value))


@dataclass(frozen=True)
class Row:
    """One row: its position in the source from 1, its line there, its JSON as stored and as a value."""

    number: int
    line: int
    json: bytes
    value: dict[str, Any]
    # What decides the side of a split; empty for the row's own texts.
    origin: str = ""

    def changed(self, value: dict[str, Any], *, origin: str = "") -> Row:
        """The row with another value."""
        return replace(self, json=compact(value), value=value, origin=origin or self.origin)

    def content_digest(self) -> bytes:
        """Equal for rows with equal content, whatever the order of their fields."""
        return hashlib.sha256(compact(self.value, sort_keys=True)).digest()


def compact(value: object, *, sort_keys: bool = False) -> bytes:
    """The value as compact JSON, written as the check writes it, so that digests can be compared."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except TypeError:  # a whole number of more than 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys).encode()


def map_texts(value: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The row with every text of it changed; names of fields and of speakers stay. The same object when none did."""
    changed = {name: _changed(item, change, turn=name in _TURNS) for name, item in value.items()}
    return changed if any(changed[name] is not item for name, item in value.items()) else value


def _changed(item: Any, change: Callable[[str], str], *, turn: bool) -> Any:
    if isinstance(item, str):
        new = change(item)
        return item if new == item else new
    if isinstance(item, list):
        items = [_changed(one, change, turn=turn) for one in item]
        return items if any(new is not old for new, old in zip(items, item, strict=True)) else item
    if isinstance(item, dict):
        kept = _NO_TEXT if turn else frozenset()
        made = {name: one if name in kept else _changed(one, change, turn=turn) for name, one in item.items()}
        return made if any(made[name] is not one for name, one in item.items()) else item
    return item


def _strings(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    elif isinstance(item, (list, dict)):
        for one in item.values() if isinstance(item, dict) else item:
            yield from _strings(one)
