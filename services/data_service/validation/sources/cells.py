"""Turns in the cells of a table, which can hold them only as JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_LISTS = ("messages", "conversations")
_PERHAPS = ("prompt", "completion", "chosen", "rejected")
"""Fields that may be texts too: lists only where every item says who speaks."""
_SPEAKERS = ("role", "from")


class Cells:
    """Reads such cells. `columns`: the form's fields, each with the column that holds it; as they are called without."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        fields = (*_LISTS, *_PERHAPS)
        named = columns or {field: field for field in fields}
        self._lists = {named[field]: field in _LISTS for field in fields if field in named}

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row, for orjson, with its lists of turns as lists."""
        return {name: self._cell(name, value) for name, value in row.items()}

    def _cell(self, name: str, value: Any) -> Any:
        if name not in self._lists or not isinstance(value, str) or not value.lstrip().startswith("["):
            return value
        try:
            turns = orjson.loads(value)
        except ValueError:
            return value
        return orjson.Fragment(value) if self._lists[name] or _are_turns(turns) else value


def _are_turns(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) and any(name in item for name in _SPEAKERS) for item in items)
