"""Checks what a row says, and gives the example that the model would learn."""

from __future__ import annotations

import re
from typing import Any

from services.data_service.report import Example as Place
from services.data_service.report import Severity
from services.data_service.validation import reasons
from services.data_service.validation.characters import CONTROL, REPLACEMENT, SURROGATE, is_suspect, strings
from services.data_service.validation.decision import Decision, likely_form
from services.data_service.validation.excerpt import excerpt, excerpt_of
from services.data_service.validation.findings import Findings
from services.data_service.validation.reasons import Reason
from services.data_service.validation.records import Record
from services.text.problems import Problem, ProblemError
from services.text.rows import Conversation, Example, Form, Plain, parse

_STEP = re.compile(r"(\w+)|\[(\d+)\]")


class RowChecks:
    """Looks at one record after another and notes what is wrong."""

    def __init__(self, decision: Decision, findings: Findings) -> None:
        self._decision = decision
        self._findings = findings

    def example(self, record: Record) -> Example | None:
        """The example of a record, None when it has an error."""
        if is_suspect(record.text) and not self._characters(record):
            return None
        form = self._form(record)
        if form is None:
            return None
        try:
            example = parse(record.value, form, self._decision.markers)
        except ProblemError as error:
            self._problems(record, error.problems)
            return None
        return example if self._has_completion(record, form, example) else None

    def _form(self, record: Record) -> Form | None:
        """The form to read the record in; None when it has another than most."""
        decided, found = self._decision.form, self._decision.form_of(record.value)
        if self._decision.is_asked or found is None:
            form = decided or likely_form(record.value)
            if form is None:
                self._unknown(record)
            return form
        if found is not decided and decided is not None:
            self._add(reasons.MIXED_FORMS, record, found=found.value, form=decided.value)
            return None
        return found

    def _unknown(self, record: Record) -> None:
        try:
            parse(record.value, Form.TEXT)
        except ProblemError as error:
            self._problems(record, error.problems)

    def _has_completion(self, record: Record, form: Form, example: Example) -> bool:
        if form is not Form.TEXT or not isinstance(example, Plain):
            return True
        if self._decision.completion_only:
            self._add(reasons.NO_COMPLETION, record, field="text")
            return False
        if self._decision.markers is not None:
            self._add(reasons.NO_MARKERS, record, field="text", markers=self._decision.markers.label)
        return True

    def _characters(self, record: Record) -> bool:
        """Notes characters that are wrong; False when one of them cannot be stored."""
        for reason, pattern in (
            (reasons.LONE_SURROGATE, SURROGATE),
            (reasons.CONTROL_CHARACTERS, CONTROL),
            (reasons.REPLACEMENT_CHARACTERS, REPLACEMENT),
        ):
            for field, text in strings(record.value):
                if match := pattern.search(text):
                    at = self._place(record, field, excerpt(text, max(0, match.start() - 20)))
                    self._findings.add(reason, at)
                    if reason is reasons.LONE_SURROGATE:
                        return False
                    break
        return True

    def _problems(self, record: Record, problems: tuple[Problem, ...]) -> None:
        seen: set[str] = set()
        for problem in problems:
            value = value_at(record.value, problem.field)
            at = self._place(record, problem.field, excerpt(record.text) if value is None else excerpt_of(value))
            remedy_en, remedy_ja = reasons.REMEDIES.get(problem.reason, ("", ""))
            en, ja = f"{_sentence(problem.en, '.')} {remedy_en}", f"{_sentence(problem.ja, '。')}{remedy_ja}"
            count = int(problem.reason not in seen)
            self._findings.add_text(problem.reason, Severity.ERROR, en.strip(), ja, at, count=count)
            seen.add(problem.reason)

    def _add(self, reason: Reason, record: Record, field: str = "", **values: Any) -> None:
        self._findings.add(reason, self._place(record, field, excerpt(record.text)), **values)

    def _place(self, record: Record, field: str, shown: str) -> Place:
        return Place(line=record.line, column=0, byte_offset=record.offset, field=excerpt(field), excerpt=shown)


def characters(example: Example) -> int:
    """How much text the model is shown and learns, in characters."""
    if isinstance(example, Conversation):
        return sum(len(message.content) for message in example.messages)
    return len(example.prompt) + len(example.completion)


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


def _sentence(text: str, stop: str) -> str:
    return text if text.endswith((stop, "?", "？", "か")) else text + stop
