"""Which form the rows have and which part of them is trained: told by the user, or decided from the first rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice

from services.data_service.domain import RowForm, Template, TrainOn
from services.data_service.validation.records import Record
from services.text.detection import FormTally
from services.text.markers import Markers
from services.text.problems import ProblemError
from services.text.rows import RESPONSE_FIELDS, Form

_SAMPLE_ROWS = 1000
_SAMPLE_CHARACTERS = 4 << 20


class Decision:
    """Decided once from a sample; counted on, so that the evidence speaks of all rows."""

    def __init__(self, asked: RowForm, train_on: TrainOn) -> None:
        self._asked = None if asked is RowForm.DETECT else Form[asked.name]
        self._train_on = train_on
        self._tally = FormTally()
        self.form: Form | None = self._asked
        """None until a row of a known form was seen."""
        self.markers: Markers | None = None

    @property
    def is_asked(self) -> bool:
        """Whether the user named the form, so that rows are not compared with each other."""
        return self._asked is not None

    @property
    def completion_only(self) -> bool:
        """Whether the user asked for completions alone."""
        return self._train_on is TrainOn.COMPLETION

    def sample(self, records: Iterator[Record]) -> Iterator[Record]:
        """Decides from the first rows and gives all rows back."""
        head: list[Record] = []
        characters = 0
        tally = FormTally()
        for record in islice(records, _SAMPLE_ROWS):
            head.append(record)
            characters += len(record.text)
            _count(tally, record.value)
            if characters > _SAMPLE_CHARACTERS:
                break
        self._decide(tally)
        return chain(head, records)

    def form_of(self, row: Mapping[str, object]) -> Form | None:
        """The form of a row by its fields, which is counted; None when it has none that we know."""
        return _count(self._tally, row)

    def template(self) -> Template:
        """The result, with its evidence."""
        form = self.form or Form.TEXT
        en, ja = self._evidence()
        markers = self.markers if form is Form.TEXT else None
        whole = form is Form.TEXT and markers is None
        return Template(
            form=RowForm[form.name],
            train_on=TrainOn.ALL if whole or self._train_on is TrainOn.ALL else TrainOn.COMPLETION,
            prompt_marker=markers.prompt if markers else "",
            completion_marker=markers.completion if markers else "",
            evidence_en=en,
            evidence_ja=ja,
        )

    def _decide(self, tally: FormTally) -> None:
        try:
            found = tally.detection()
        except ProblemError:  # no row of a form that we know
            return
        self.form = self._asked or found.form
        self.markers = found.markers if self.form is Form.TEXT else None

    def _evidence(self) -> tuple[str, str]:
        try:
            found = self._tally.detection()
        except ProblemError:
            return "no row of a known form", "既知の形式の行がありません"
        if self._asked is not None:
            return f"chosen by the user; {found.evidence_en}", f"ユーザー指定。{found.evidence_ja}"
        return found.evidence_en, found.evidence_ja


def likely_form(row: Mapping[str, object]) -> Form | None:
    """The form that a row seems to be meant to have, by any field of it."""
    if "messages" in row:
        return Form.MESSAGES
    if "instruction" in row or any(name in row for name in RESPONSE_FIELDS):
        return Form.INSTRUCTION
    return None


def _count(tally: FormTally, row: Mapping[str, object]) -> Form | None:
    try:
        return tally.add(row)
    except ProblemError:
        return None
