"""What JSON is that has not one object a line, and how it is told of."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from services.data_service.validation import reasons
from services.data_service.validation.reasons import Reason
from services.text.rows import FIELD_NAMES

_HEAD_CHARACTERS = 1 << 16
_SCALAR = r'(?:"[^"\\]*"|[-+.\w]+)'
_WRAPPED = re.compile(rf'\s*\{{(?:\s*"[^"\\]*"\s*:\s*{_SCALAR}\s*,)*\s*"([\w-]+)"\s*:\s*\[\s*\{{\s*"([^"\\]*)"')
_OF_A_TURN = ("role", "from", "content", "value", "speaker")


class Shape(NamedTuple):
    """A shape with its names, what takes its objects out of it, and the reason that says so."""

    en: str
    ja: str
    jq_filter: str
    reason: Reason

    @property
    def values(self) -> dict[str, Any]:
        """What fills the texts of the reason."""
        return {"shape": self.en, "shape_ja": self.ja, "filter": self.jq_filter}


ARRAY = Shape("a JSON array", "JSON 配列", ".[]", reasons.NOT_ONE_OBJECT_PER_LINE)
PRETTY = Shape("pretty-printed", "整形された JSON", ".", reasons.OBJECTS_ON_OTHER_LINES)
SEVERAL = Shape("several objects on one line", "1 行に複数のオブジェクト", ".", reasons.OBJECTS_ON_OTHER_LINES)


def wrapped(text: str) -> Shape | None:
    """The shape of an object that begins so and seems to hold rows, such as {"data": [{…}, {…}]}.

    None where it may be a row itself, with turns perhaps.
    """
    found = _WRAPPED.match(text, 0, _HEAD_CHARACTERS)
    if found is None or found[1] in FIELD_NAMES or found[2] in _OF_A_TURN:
        return None
    key = found[1]
    return Shape(
        f'the rows seem to lie in "{key}"',
        f"行は「{key}」の中にあるようです",
        f'."{key}"[]',
        reasons.NOT_ONE_OBJECT_PER_LINE,
    )
