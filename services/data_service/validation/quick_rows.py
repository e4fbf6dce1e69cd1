"""The quick look at rows: says of most that nothing is wrong with them, and leaves the rest to the long look.

Both looks agree on every row that this one lets pass; `None` never means that a row is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from services.data_service.validation.characters import CONTROL, REPLACEMENT
from services.data_service.validation.rules import Rules
from services.text.detection import form_of_fields
from services.text.markers import Markers
from services.text.rows import RESPONSE_FIELDS, Form, leaves_out, used_fields
from services.text.turns import SHAREGPT_ROLES

Contents: TypeAlias = tuple[str, ...]
Reader: TypeAlias = Callable[[Mapping[str, Any]], Contents | None]
TextReader: TypeAlias = Callable[[object], Contents | None]
_MAX_SHAPES = 1000
_MAX_DEPTH = 100
_EXACT = 2.0**63  # beyond it orjson reads integers as floats


class _Shape(NamedTuple):
    """Rows with the same names in the same order."""

    read: Reader | None
    further: tuple[str, ...]
    """Names that the form does not use."""


class QuickRows:
    """Reads rows under the rules of their file."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.form = rules.form
        self._columns = list(rules.columns.items())
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self.leave_out = False
        """Whether any row so far has fields that usually hold something to learn from, but not in its form."""

    def rename(self, row: Any) -> Any:
        """The row under the names of its form; None where that cannot be done."""
        if not self._columns:
            return row
        try:
            return {field: row[column] for field, column in self._columns}
        except (KeyError, TypeError, IndexError):
            return None

    def contents(self, rows: list[Any]) -> list[Contents | None]:
        """For each row the text of its example; None where it needs the long look."""
        return [self._contents(row) if type(row) is dict else None for row in rows]

    def _contents(self, row: dict[str, Any]) -> Contents | None:
        names = tuple(row)
        read, further = self._shapes.get(names) or self._shape(names)
        if read is None or (further and not all(_harmless(row[name]) for name in further)):
            return None
        try:
            return read(row)
        except (KeyError, TypeError):  # a field is missing, or a turn is no object
            return None

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        form = self._rules.form
        clean = all(_clean(name) for name in names)
        markers = self._rules.markers
        clean = clean and (markers is None or _clean(markers.prompt + markers.completion))
        known = form is not None and clean and (self._rules.asked or form_of_fields(names) is form)
        response = next((name for name in RESPONSE_FIELDS if name in names), "")
        used = used_fields(names, form) if form is not None else ()
        further = tuple(name for name in names if name not in used)
        self.leave_out = self.leave_out or (form is not None and bool(leaves_out(names, form)))
        if form is Form.CONVERSATIONS and "system" in names:
            known = False
        if form is Form.TEXT and self._rules.markers is None and self._rules.completion_only:
            known = False
        shape = _Shape(_reader(form, self._rules.markers, response) if form and known else None, further)
        if len(self._shapes) < _MAX_SHAPES:
            self._shapes[names] = shape
        return shape


def _reader(form: Form, markers: Markers | None, response: str) -> Reader:
    if form is Form.TEXT:
        text = _text_reader(markers)
        return lambda row: text(row["text"])
    if form is Form.INSTRUCTION:
        return _instruction(response)
    if form is Form.MESSAGES:
        return _turns("messages", "role", "content", {"system": "system", "user": "user", "assistant": "assistant"})
    if form is Form.CONVERSATIONS:
        spoken = {name: role for name, role in SHAREGPT_ROLES.items() if role != "tool"}
        return _turns("conversations", "from", "value", spoken)
    if form is Form.PREFERENCE:
        return _preference
    return _labeled if form is Form.LABELED else _pair


def _text_reader(markers: Markers | None) -> TextReader:
    return _plain if markers is None else _marked(markers)


def _plain(text: object) -> Contents | None:
    return (text,) if type(text) is str and _said(text) else None


def _marked(markers: Markers) -> TextReader:
    opening, middle = markers.prompt, markers.completion
    start, width = len(opening), len(middle)

    def read(text: object) -> Contents | None:
        if type(text) is not str or not text.startswith(opening):
            return None
        at = text.find(middle, start)
        if at < 0:
            return None
        prompt, completion = text[start:at], text[at + width :]
        if not prompt or not completion or prompt.isspace() or completion.isspace():
            return None
        return prompt, completion

    return read


def _instruction(response: str) -> Reader:
    def read(row: Mapping[str, Any]) -> Contents | None:
        prompt, completion, extra = row["instruction"], row[response], row.get("input")
        if not (_said(prompt) and _said(completion)):
            return None
        if extra:
            if not _said(extra):
                return None
            prompt = f"{prompt}\n\n{extra}"
        elif extra not in (None, ""):
            return None
        return prompt, completion

    return read


def _turns(name: str, speaker: str, said: str, roles: Mapping[str, str]) -> Reader:
    def read(row: Mapping[str, Any]) -> Contents | None:
        turns = row[name]
        if type(turns) is not list or not turns:
            return None
        contents: list[str] = []
        expected = "user"
        for turn in turns:
            content = turn[said]
            role = roles.get(turn[speaker])
            if len(turn) != 2 or not _said(content):
                return None
            if role == expected:
                expected = "assistant" if role == "user" else "user"
            elif role != "system" or contents:
                return None
            contents.append(content)
        return tuple(contents) if expected == "user" and len(contents) > 1 else None

    return read


def _pair(row: Mapping[str, Any]) -> Contents | None:
    prompt, completion = row["prompt"], row["completion"]
    return (prompt, completion) if _said(prompt) and _said(completion) else None


def _labeled(row: Mapping[str, Any]) -> Contents | None:
    return _pair(row) if type(row["label"]) is bool else None


def _preference(row: Mapping[str, Any]) -> Contents | None:
    prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
    said = _said(prompt) and _said(chosen) and _said(rejected) and chosen != rejected
    return (prompt, chosen, rejected) if said else None


def _said(text: object) -> bool:
    return type(text) is str and text != "" and not text.isspace()


def _clean(text: str) -> bool:
    return (text.isascii() and text.isprintable()) or not (CONTROL.search(text) or REPLACEMENT.search(text))


def _harmless(value: object, depth: int = 0) -> bool:
    """Whether a value that is not used can be kept without a look."""
    kind = type(value)
    if kind is str:
        return _clean(value)  # type: ignore[arg-type]
    if kind is float:
        return -_EXACT < value < _EXACT  # type: ignore[operator]
    if depth == _MAX_DEPTH:
        return False
    if kind is list:
        return all(_harmless(item, depth + 1) for item in value)  # type: ignore[attr-defined]
    if kind is dict:
        return all(_clean(name) and _harmless(item, depth + 1) for name, item in value.items())  # type: ignore[attr-defined]
    return True
