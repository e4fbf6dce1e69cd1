"""Which form rows have and which markers their texts use, with the evidence. Standard library only."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from services.text.markers import Markers, find_markers
from services.text.problems import Problem, ProblemError
from services.text.rows import RESPONSE_FIELDS, Form

_KNOWN_FIELDS = (
    "text", "instruction", *RESPONSE_FIELDS, "messages", "conversations", "prompt", "completion", "chosen", "rejected",
)  # fmt: skip
_NAMES = {
    Form.TEXT: ("text without markers", "目印のないテキスト"),
    Form.INSTRUCTION: ("instruction and response", "instruction と response"),
    Form.MESSAGES: ("messages", "messages"),
    Form.PROMPT_COMPLETION: ("prompt and completion", "prompt と completion"),
    Form.CONVERSATIONS: ("conversations", "conversations"),
    Form.PREFERENCE: ("prompt, chosen and rejected", "prompt、chosen、rejected"),
    Form.LABELED: ("prompt, completion and label", "prompt、completion、label"),
}


@dataclass(frozen=True)
class Detection:
    """The form of some rows, and why."""

    form: Form
    markers: Markers | None
    """Markers of most texts; None where fewer than half have the same pair."""
    evidence_en: str
    """Such as "1200 of 1200 rows: 質問 / 回答"."""
    evidence_ja: str


def form_of(row: object) -> Form:
    """The form of one row by its fields. Raises ProblemError where it has none that we know."""
    form = form_of_fields(row) if isinstance(row, Mapping) else None
    if form is None:
        raise ProblemError(_unknown_form(row))
    return form


def form_of_fields(names: object) -> Form | None:
    """The form by the names alone (anything that knows `in`), the more telling ones first; None without one."""

    def has(*fields: str) -> bool:
        return all(field in names for field in fields)  # type: ignore[operator]

    if has("chosen", "rejected"):
        return Form.PREFERENCE
    if has("messages"):
        return Form.MESSAGES
    if has("conversations"):
        return Form.CONVERSATIONS
    if has("instruction") and any(has(name) for name in RESPONSE_FIELDS):
        return Form.INSTRUCTION
    if has("prompt", "completion"):
        return Form.LABELED if has("label") else Form.PROMPT_COMPLETION
    return Form.TEXT if has("text") else None


def detect_form(row: object) -> Detection:
    """Form and markers of one row. Raises ProblemError where it has no form that we know."""
    tally = FormTally()
    tally.add(row)
    return tally.detection()


class FormTally:
    """Counts forms and markers over rows, in one pass and little memory."""

    def __init__(self) -> None:
        self._forms: Counter[Form] = Counter()
        self._labels: Counter[str] = Counter()
        self._markers: Counter[Markers] = Counter()

    def add(self, row: object) -> Form:
        """Counts a row and returns its form. Raises ProblemError where it has none that we know; it is not counted."""
        form = form_of(row)
        self._forms[form] += 1
        text = row.get("text") if form is Form.TEXT and isinstance(row, Mapping) else None
        found = find_markers(text) if isinstance(text, str) else None
        if found is not None and len(self._markers) < 1000:  # a fixed sentence before a heading is few, free text many
            self._markers[found.markers] += 1
            self._labels[found.markers.label] += 1
        return form

    def detection(self) -> Detection:
        """What most rows are. Raises ProblemError where there was no row."""
        if not self._forms:
            raise ProblemError(Problem("NO_ROWS", "", "there is no row", "行がありません"))
        form, rows = self._forms.most_common(1)[0]
        total = sum(self._forms.values())
        label, marked = self._labels.most_common(1)[0] if self._labels else ("", 0)
        if form is Form.TEXT and marked * 2 >= rows:
            markers = next(m for m, _ in self._markers.most_common() if m.label == label)
            return Detection(form, markers, *evidence(form, markers, marked, total))
        return Detection(form, None, *evidence(form, None, rows, total))


def evidence(form: Form, markers: Markers | None, rows: int, total: int) -> tuple[str, str]:
    """How many of all rows have the form, or the markers, in both languages."""
    en, ja = (markers.label, markers.label) if markers is not None else _NAMES[form]
    return f"{rows} of {total} rows: {en}", f"{total} 行中 {rows} 行: {ja}"


def _unknown_form(row: object) -> Problem:
    names = [str(name) for name in row] if isinstance(row, Mapping) else []
    close = [(n, c) for n in names for c in difflib.get_close_matches(n.lower(), _KNOWN_FIELDS, n=1, cutoff=0.75)]
    shown = ", ".join(names)[:200] or "none"
    en = (
        'the row needs "text", "instruction" and "response", "prompt" and "completion", "messages" or "conversations";'
        f" its fields are: {shown}"
    )
    ja = (
        "行には text、instruction と response、prompt と completion、messages、conversations のどれかが必要です。"
        f"今ある項目: {shown}"
    )
    if close:
        en, ja = f"{en}; did {close[0][0]!r} mean {close[0][1]!r}?", f"{ja}。{close[0][0]} は {close[0][1]} ですか"
    return Problem("UNKNOWN_FORM", "", en, ja)
