"""How every row of a file is read: told by the user, or decided from the first rows, then the same for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.data_service.domain import BadRows, RowForm, Template, ToolTurns, TrainOn
from services.data_service.validation.columns import rename
from services.data_service.validation.request import ValidationRequest
from services.text.detection import FormTally, evidence
from services.text.markers import Markers
from services.text.problems import ProblemError
from services.text.rows import RESPONSE_FIELDS, Form


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What every row is held against."""

    form: Form | None
    """None where no row of a known form was seen."""
    asked: bool
    """Whether the user named the form, so that rows are not compared with each other."""
    utf8: bool
    """Whether the first lines that are not ASCII are UTF-8, most of them."""
    markers: Markers | None
    train_on: TrainOn
    columns: Mapping[str, str]
    tools: bool
    set_aside: bool
    max_line_bytes: int

    @property
    def completion_only(self) -> bool:
        """Whether the user asked for completions alone."""
        return self.train_on is TrainOn.COMPLETION


@dataclass
class FieldCount:
    """Fields that hold something but are not used."""

    rows: int = 0
    """Rows with one of them or more."""
    fields: Counter[str] = field(default_factory=Counter)
    """Rows by field."""

    def add(self, names: Sequence[str], rows: int = 1) -> None:
        """Counts rows that have such fields, or none."""
        self.rows += rows * bool(names)
        for name in names:
            self.fields[name] += rows

    def merge(self, other: FieldCount) -> None:
        """Adds another count."""
        self.rows += other.rows
        self.fields.update(other.fields)


@dataclass
class FormCount:
    """Rows by their form, for the evidence; where the user named the form, the rows that have it."""

    rows: int = 0
    marked: int = 0
    """Texts with the decided markers."""
    forms: Counter[Form] = field(default_factory=Counter)
    unused: FieldCount = field(default_factory=FieldCount)
    """Of the rows without an error."""

    def merge(self, other: FormCount) -> None:
        """Adds another count."""
        self.rows += other.rows
        self.marked += other.marked
        self.forms.update(other.forms)
        self.unused.merge(other.unused)


def decide(request: ValidationRequest, rows: Iterable[Mapping[str, Any]], *, utf8: bool = False) -> Rules:
    """The rules of a file by its first rows. `utf8`: most lines that tell are UTF-8."""
    asked = None if request.form is RowForm.DETECT else Form[request.form.name]
    tally = FormTally()
    for row in rows:
        _count(tally, row, request.read.columns, asked)
    try:
        found = tally.detection()
    except ProblemError:  # no row of a form that we know
        found = None
    form = asked or (found.form if found else None)
    return Rules(
        form=form,
        asked=asked is not None,
        utf8=utf8,
        markers=found.markers if found and form is Form.TEXT else None,
        train_on=request.train_on,
        columns=request.read.columns,
        tools=request.read.tool_turns is ToolTurns.KEEP,
        set_aside=request.read.bad_rows is BadRows.SET_ASIDE,
        max_line_bytes=request.max_line_bytes,
    )


def likely_form(row: Mapping[str, object]) -> Form | None:
    """The form that a row seems to be meant to have, by any field of it."""
    if "chosen" in row or "rejected" in row:
        return Form.PREFERENCE
    for form in (Form.MESSAGES, Form.CONVERSATIONS):
        if form.value in row:
            return form
    if "instruction" in row or any(name in row for name in RESPONSE_FIELDS):
        return Form.INSTRUCTION
    if "prompt" in row or "completion" in row:
        return Form.LABELED if "label" in row else Form.PROMPT_COMPLETION
    return None


def template(rules: Rules, count: FormCount) -> Template:
    """The result, with its evidence; of DETECT form where no row has shown one."""
    form = rules.form or next(iter(count.forms), None)
    if form is None:
        return Template(form=RowForm.DETECT, train_on=TrainOn.AUTO)
    markers = rules.markers if form is Form.TEXT else None
    whole = form is Form.TEXT and markers is None
    en, ja = _evidence(rules, count, form, markers)
    return Template(
        form=RowForm[form.name],
        train_on=TrainOn.ALL if whole or rules.train_on is TrainOn.ALL else TrainOn.COMPLETION,
        prompt_marker=markers.prompt if markers else "",
        completion_marker=markers.completion if markers else "",
        evidence_en=en,
        evidence_ja=ja,
    )


def _evidence(rules: Rules, count: FormCount, form: Form, markers: Markers | None) -> tuple[str, str]:
    total = count.rows if rules.asked else sum(count.forms.values())
    having = count.marked if markers is not None else count.forms[form]
    en, ja = evidence(form, markers, having, total)
    return (f"chosen by the user; {en}", f"ユーザー指定。{ja}") if rules.asked else (en, ja)


def _count(tally: FormTally, row: Mapping[str, Any], columns: Mapping[str, str], asked: Form | None) -> None:
    try:
        row = rename(row, columns)
        tally.add({"text": row.get("text")} if asked is Form.TEXT else row)
    except ProblemError:
        return  # the check itself will say so
