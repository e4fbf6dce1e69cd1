"""The long look at a row: every check, and what is wrong said so that it can be mended."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from services.data_service.report import Example as Place
from services.data_service.report import Severity
from services.data_service.validation import reasons
from services.data_service.validation.characters import CONTROL, REPLACEMENT, SURROGATE, is_suspect, strings
from services.data_service.validation.columns import column_options, rename
from services.data_service.validation.excerpt import excerpt, excerpt_of
from services.data_service.validation.findings import Findings, whole_line
from services.data_service.validation.json_shapes import wrapped
from services.data_service.validation.reasons import Reason
from services.data_service.validation.records import Record
from services.data_service.validation.rules import FormCount, Rules, likely_form
from services.text.detection import form_of, form_of_fields
from services.text.problems import Problem, ProblemError
from services.text.rows import FIELD_NAMES, Example, Form, Pair, Plain, parse, unused_fields

_STEP = re.compile(r"(\w+)|\[(\d+)\]")
_INDEX = re.compile(r"\[\d+\]")
_MOST_SENTENCES = 5


class Accepted(NamedTuple):
    """A row without an error: the text of its example, and its canonical JSON."""

    contents: tuple[str, ...]
    json: bytes


class RowChecks:
    """Looks at one record after another and notes what is wrong."""

    def __init__(self, rules: Rules, findings: Findings, count: FormCount) -> None:
        self._rules = rules
        self._findings = findings
        self._count = count

    def check(self, record: Record) -> Accepted | None:
        """What becomes of a record, None when it has an error."""
        try:
            return self._check(record, rename(record.value, self._rules.columns))
        except ProblemError as error:
            self._problems(record, record.value, error.problems)
        except RecursionError:  # the parser got through, but its way back is longer
            self._findings.add(reasons.NESTED_TOO_DEEPLY, _at(record))
        return None

    def _check(self, record: Record, row: Mapping[str, Any]) -> Accepted | None:
        if is_suspect(record.text) and not self._characters(record, row):
            return None
        form = self._form(record, row)
        if form is None:
            return None
        try:
            example = parse(row, form, self._rules.markers, tools=self._rules.tools)
        except ProblemError as error:
            self._problems(record, row, error.problems)
            return None
        if not self._has_completion(record, form, example):
            return None
        written = canonical(row)
        self._count.marked += form is Form.TEXT and isinstance(example, Pair)
        self._count.forms[form] += self._rules.asked
        self._count.unused.add(unused_fields(row, form))
        return Accepted(example.contents, written)

    def _form(self, record: Record, row: Mapping[str, Any]) -> Form | None:
        """The form to read the record in; None when it has another than most."""
        decided = self._rules.form
        if self._rules.asked:
            return decided
        found = form_of_fields(row)
        if found is None:
            form = decided or likely_form(row)
            if form is None:
                self._unknown(record, row)
            return form
        self._count.forms[found] += 1
        if decided is not None and found is not decided:
            self._add(reasons.MIXED_FORMS, record, found=found.value, form=decided.value)
            return None
        return found

    def _unknown(self, record: Record, row: Mapping[str, Any]) -> None:
        shape = wrapped(record.text)
        if shape is not None:
            self._add(shape.reason, record, **shape.values)
            return
        try:
            form_of(row)
        except ProblemError as error:
            self._problems(record, row, error.problems)

    def _has_completion(self, record: Record, form: Form, example: Example) -> bool:
        if form is not Form.TEXT or not isinstance(example, Plain):
            return True
        if self._rules.completion_only:
            self._add(reasons.NO_COMPLETION, record, field="text")
            return False
        if self._rules.markers is not None:
            self._add(reasons.NO_MARKERS, record, field="text", markers=self._rules.markers.label)
        return True

    def _characters(self, record: Record, row: Mapping[str, Any]) -> bool:
        """Notes characters that are wrong; False when one of them cannot be stored."""
        for reason, pattern in (
            (reasons.LONE_SURROGATE, SURROGATE),
            (reasons.CONTROL_CHARACTERS, CONTROL),
            (reasons.REPLACEMENT_CHARACTERS, REPLACEMENT),
        ):
            for field, text in strings(row):
                if match := pattern.search(text):
                    shown = excerpt(text, max(0, match.start() - 20))
                    self._findings.add(reason, _at(record, shown, field))
                    if reason is reasons.LONE_SURROGATE:
                        return False
                    break
        return True

    def _problems(self, record: Record, row: Mapping[str, Any], problems: tuple[Problem, ...]) -> None:
        for reason in dict.fromkeys(problem.reason for problem in problems):
            same = [problem for problem in problems if problem.reason == reason]
            places = [self._place(record, row, problem) for problem in same]
            exact = _told(reason, same, row)
            # Rows that differ only in which turn is at fault are told of together.
            common = _told(reason, [_of_any_turn(problem) for problem in same], row)
            self._findings.add_text(reason, Severity.ERROR, common, places, exact=exact)

    def _place(self, record: Record, row: Mapping[str, Any], problem: Problem) -> Place:
        value = value_at(row, problem.field)
        shown = excerpt(record.text) if value is None else excerpt_of(value)
        return _at(record, shown, problem.field)

    def _add(self, reason: Reason, record: Record, field: str = "", **values: Any) -> None:
        self._findings.add(reason, _at(record, excerpt(record.text), field), **values)


def canonical(row: Mapping[str, Any]) -> bytes:
    """The row as compact JSON with sorted keys. Raises RecursionError where it is nested too deeply."""
    try:
        return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        if "ecursion" in str(error):
            raise RecursionError from error
        # An integer of more than 64 bits.
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def value_at(row: Any, field: str) -> Any:
    """The value at a place such as "messages[2].role", None when there is none."""
    value = row
    for name, index in _STEP.findall(field):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and index and int(index) < len(value):
            value = value[int(index)]
        else:
            return None
    return value if field else None


def _at(record: Record, shown: str = "", field: str = "") -> Place:
    return whole_line(record.line, record.offset, shown, excerpt(field), column=record.column)


def _told(reason: str, problems: Sequence[Problem], row: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong, what is there instead of fields that are missing, and what to do."""
    en = list(dict.fromkeys(_sentence(problem.en, ".") for problem in problems))[:_MOST_SENTENCES]
    ja = list(dict.fromkeys(_sentence(problem.ja, "。") for problem in problems))[:_MOST_SENTENCES]
    lacking = [problem.field for problem in problems if reason == "MISSING_FIELD" and problem.field in FIELD_NAMES]
    if lacking:
        there = ", ".join(map(str, row))[:200]
        en.append(f"The row's fields are: {there or 'none'}.")
        ja.append(f"今ある項目: {there or 'なし'}。")
    options = column_options(lacking, row) if lacking or reason == "UNKNOWN_FORM" else ""
    if options:
        en.append(f"If other columns hold them, name those (read.columns; for example {options}).")
        ja.append(f"別の列にある場合は、列の対応付けを指定してください（read.columns、例: {options}）。")
    remedy_en, remedy_ja = reasons.REMEDIES.get(reason, ("", ""))
    return " ".join([*en, remedy_en]).strip(), "".join([*ja, remedy_ja])


def _of_any_turn(problem: Problem) -> Problem:
    return replace(problem, en=_INDEX.sub("[…]", problem.en), ja=_INDEX.sub("[…]", problem.ja))


def _sentence(text: str, stop: str) -> str:
    return text if text.endswith((stop, "?", "？", "か")) else text + stop
