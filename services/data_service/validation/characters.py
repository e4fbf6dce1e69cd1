"""Characters in a row that are legal JSON and still wrong, or worth a look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

_SUSPECT = re.compile(r"[\x7f-\x9f\ufffd]|\\u(?:00(?:[0189]|7[fF])|[dD][89a-fA-F]|[fF]{3}[dD])|\\[bf]")
_BACKSLASH = ord("\\")
_SUSPECT_ESCAPES = np.isin(np.arange(256), list(b"ubf"))
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
SURROGATE = re.compile("[\ud800-\udfff]")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
REPLACEMENT = re.compile("\ufffd")


def is_suspect(line: str) -> bool:
    """Whether the JSON text may hold any of them; a quick look that spares most rows the long one."""
    return _SUSPECT.search(line) is not None


def is_clean(data: bytes) -> bool:
    """Whether no string in JSON, of any number of rows, has a control character or U+FFFD: a look at all at once."""
    values = np.frombuffer(data, np.uint8)
    escapes = values[np.flatnonzero(values[:-1] == _BACKSLASH) + 1]
    return not _SUSPECT_ESCAPES[escapes].any() and is_clean_unescaped(data)


def is_clean_unescaped(data: bytes) -> bool:
    """The same where no escape is of such a character."""
    if b"\x7f" in data or (b"\xc2" in data and _C1.search(data)):
        return False
    values = np.frombuffer(data, np.uint8)
    first, second, third = b"\xef\xbf\xbd"  # U+FFFD; `in` takes three times as long
    return not ((values[:-2] == first) & (values[1:-1] == second) & (values[2:] == third)).any()


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All strings in a JSON value, names of fields too, each with its place such as "messages[2].content"."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            place = f"{path}.{name}" if path else name
            yield place, name
            yield from strings(item, place)
