"""What the rows of a version say, read from their JSON as its template wants it."""

from __future__ import annotations

import json

from services.data_service.domain import RowForm, Template, TrainOn
from services.text.markers import Markers
from services.text.rows import Example, Form, parse


class RowTexts:
    """Reads rows of one version for people: a text that is trained whole has no prompt."""

    def __init__(self, template: Template) -> None:
        self._form = Form[template.form.name]
        whole = template.form is RowForm.TEXT and template.train_on is TrainOn.ALL
        marked = bool(template.prompt_marker) and not whole
        self._markers = Markers(template.prompt_marker, template.completion_marker) if marked else None

    def of(self, row: str | bytes) -> Example:
        """The row of a version, which was checked before."""
        return parse(json.loads(row), self._form, self._markers, tools=True)
