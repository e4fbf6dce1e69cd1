"""Rows rendered by services/text, by the very calls that the trainer makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from services.data_service.supervision.protocol import Answer, RenderedRow, Request, Trouble
from services.text import template as templates
from services.text import tokenizer as tokenizers
from services.text.answers import Text, texts_of
from services.text.problems import ProblemError
from services.text.rows import Example, parse
from services.text.supervision import Rendered, differs_when_served, render_all
from services.text.template import Template

_KEPT = 8
"""Tokenizers that stay in memory."""


def render(request: Request) -> Answer:
    """The answer to a request."""
    try:
        tokenizer, template = bound(request.tokenizer, request.template)
    except ProblemError as error:
        return Answer(refused=_trouble(error))
    rows = (
        replace(rendered, row=number)
        for number, row in enumerate(request.rows)
        for rendered in _row(row, template, tokenizer, request.max_length)
    )
    return Answer(rows=tuple(rows))


@lru_cache(_KEPT)
def bound(folder: str, template: str) -> tuple[Any, Template]:
    """A tokenizer, and a version's template bound to it. Raises ProblemError."""
    tokenizer = tokenizers.load(Path(folder))
    return tokenizer, templates.bind(templates.parse_template(template), tokenizer)


def example_of(row: str | bytes, template: Template) -> Example:
    """The row of a checked version as the trainer reads it."""
    return parse(orjson.loads(row), template.form, template.markers, tools=True)


def _row(row: str, template: Template, tokenizer: Any, max_length: int) -> list[RenderedRow]:
    try:
        example = example_of(row, template)
        return [_text(text, template, tokenizer, max_length) for text in texts_of(example)]
    except ProblemError as error:
        return [RenderedRow(trouble=_trouble(error))]


def _text(text: Text, template: Template, tokenizer: Any, max_length: int) -> RenderedRow:
    rendered = render_all([text.example], template, tokenizer, max_length)[0]
    counted = [False, *rendered.trained[1:]]  # nothing predicts the first
    bos = tokenizer.bos_token_id
    return RenderedRow(
        ids=tuple(rendered.input_ids),
        pieces=tuple(rendered.pieces),
        trained=tuple(counted[: len(rendered.input_ids)]),
        truncated_tokens=rendered.dropped_tokens,
        stop_trained=_ends_with_stop(rendered, template.stop, tokenizer),
        double_bos=bos is not None and rendered.input_ids[:2] == [bos, bos],
        served_otherwise=differs_when_served(text.example, template, tokenizer),
        answer=text.answer,
    )


def _ends_with_stop(row: Rendered, stop: Sequence[str], tokenizer: Any) -> bool:
    """Whether the last trained token is one that ends an answer."""
    trained = [token for token, counts in zip(row.input_ids, row.trained, strict=True) if counts]
    return bool(trained) and not row.dropped_tokens and trained[-1] in tokenizer.convert_tokens_to_ids(list(stop))


def _trouble(error: ProblemError) -> Trouble:
    return Trouble(**asdict(error.problems[0]))
