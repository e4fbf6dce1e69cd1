"""How each objective turns examples into token sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from services.text.answers import answered, texts_of
from services.text.problems import Problem, ProblemError
from services.text.rows import Conversation, Example, Form, Labeled, Pair, Plain, Preference
from services.text.supervision import Rendered
from services.text.template import Template
from services.training_service.trainer.failures import DataError
from services.training_service.trainer.hyperparameters import Objective
from services.training_service.trainer.rows import AnswerRow, TokenRow, TrainingRow

_NEEDED = {
    "sft": (
        "an answer: text, instruction, prompt and completion, messages or conversations",
        "text、instruction、prompt と completion、messages、conversations のいずれか",
    ),
    "pretraining": ("text", "text"),
    "dpo": ("prompt, chosen and rejected", "prompt、chosen、rejected"),
    "orpo": ("prompt, chosen and rejected", "prompt、chosen、rejected"),
    "kto": (
        "prompt, completion and label, or chosen and rejected",
        "prompt、completion、label、または chosen と rejected",
    ),
}
_KINDS: dict[Objective, tuple[type[Example], ...]] = {
    "sft": (Plain, Pair, Conversation),
    "pretraining": (Plain,),
    "dpo": (Preference,),
    "orpo": (Preference,),
    "kto": (Labeled,),
}


def template_for(template: Template, objective: Objective) -> Template:
    """Continued pretraining learns texts whole, whatever marks they have, and answers are compared without what was
    asked. Raises ProblemError where continued pretraining is given other rows than texts."""
    if objective in ("dpo", "orpo", "kto"):
        return replace(template, train_on="completion")
    if objective != "pretraining":
        return template
    if template.form is not Form.TEXT:
        raise ProblemError(_mismatch(objective))
    return replace(template, kind="plain", train_on="all", prompt_marker="", completion_marker="")


def examples_for(examples: Sequence[Example], objective: Objective) -> list[Example]:
    """The examples that the objective learns from: kto takes pairs apart. Raises DataError where rows are of another kind."""
    if objective == "kto":
        examples = [part for example in examples for part in _unpaired(example)]
    if not all(isinstance(example, _KINDS[objective]) for example in examples):
        raise DataError(_mismatch(objective))
    return list(examples)


def one_label(examples: Sequence[Example]) -> str:
    """The label that all of kto's examples have: "true" or "false"; empty where both are there, and for other examples."""
    labels = {example.label for example in examples if isinstance(example, Labeled)}
    return str(labels.pop()).lower() if len(labels) == 1 else ""


def sequences(examples: Sequence[Example], objective: Objective) -> Iterator[Example]:
    """What is rendered for the examples in order: one text for each, or two where answers are compared."""
    if objective == "kto":
        yield from _with_strangers([example for example in examples if isinstance(example, Labeled)])
        return
    for example in examples:
        if objective in ("dpo", "orpo"):
            yield from (text.example for text in texts_of(example))
        else:
            yield example


def training_rows(
    examples: Sequence[Example],
    rendered: Sequence[Rendered],
    stop: Sequence[str],
    max_length: int,
    objective: Objective,
) -> list[TrainingRow]:
    """Rows of the rendered sequences, without those in which nothing is trained."""
    if objective == "pretraining":
        return [row for text in rendered for row in _cut(text, max_length, stop) if row.trained_tokens]
    if objective == "sft":
        return [row for text in rendered if (row := _token_row(text, stop)).trained_tokens]
    pairs = zip(examples, rendered[::2], rendered[1::2], strict=True)
    rows = [_answer_row(example, first, second, stop) for example, first, second in pairs]
    return [row for row in rows if all(sequence.trained_tokens for sequence in row.sequences)]


def _unpaired(example: Example) -> tuple[Example, ...]:
    if not isinstance(example, Preference):
        return (example,)
    turns = example.turns
    return Labeled(turns, example.chosen, label=True), Labeled(turns, example.rejected, label=False)


def _with_strangers(examples: Sequence[Labeled]) -> Iterator[Conversation]:
    """Each answer, and then the next row's answer under this row's prompt."""
    for number, example in enumerate(examples):
        yield answered(example.turns, example.completion)
        yield answered(example.turns, examples[(number + 1) % len(examples)].completion)


def _answer_row(example: Example, first: Rendered, second: Rendered, stop: Sequence[str]) -> AnswerRow:
    return AnswerRow(
        (_token_row(first, stop), _token_row(second, stop)),
        wanted=example.label if isinstance(example, Labeled) else True,
    )


def _token_row(row: Rendered, stop: Sequence[str]) -> TokenRow:
    pieces = zip(row.pieces[1:], row.trained[1:], strict=True)
    return TokenRow(
        ids=np.asarray(row.input_ids, dtype=np.int32),
        trained=np.asarray(row.trained, dtype=np.bool_),
        characters=sum(len(piece) for piece, trained in pieces if trained and piece not in stop),
    )


def _cut(text: Rendered, max_length: int, stop: Sequence[str]) -> Iterator[TokenRow]:
    """A text as rows of at most max_length tokens. Each begins with the last token of the one before, which predicts
    its second, so that every token but the text's first is trained once."""
    for start in range(0, max(1, len(text.input_ids) - 1), max_length - 1):
        part = slice(start, start + max_length)
        yield _token_row(Rendered(text.input_ids[part], text.trained[part], text.pieces[part], 0), stop)


def _mismatch(objective: Objective) -> Problem:
    en, ja = _NEEDED[objective]
    return Problem(
        "OBJECTIVE_MISMATCH",
        "hyperparameters.objective",
        f"objective {objective} learns from rows with {en}; choose another data set or objective",
        f"objective {objective} には {ja} を持つ行が必要です。データセットか objective を選び直してください",
    )
