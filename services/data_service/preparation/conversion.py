"""Rows from one form into another, where nothing that is learnt gets lost on the way.

TEXT                 a prompt and its answer get the markers 質問 and 回答; where prompts are trained too, longer
                     conversations become a transcript
INSTRUCTION          a prompt and its answer
PROMPT_COMPLETION    the same; with a system message or more turns both are lists of messages
MESSAGES, CONVERSATIONS   everything but texts without markers
LABELED              from a PREFERENCE row two: the chosen answer is wanted, the rejected is not

Of a PREFERENCE row the chosen answer is kept, of LABELED rows those that are wanted. Fields of the row beyond its form
stay, unless the new form has a field of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from services.core.errors import Violation
from services.data_service.domain import RowForm
from services.data_service.errors import ConversionImpossible
from services.data_service.preparation.rows import Row, Shape
from services.text.examples import Conversation, Example, Labeled, Message, Pair, Plain, Preference
from services.text.markers import Markers, split
from services.text.problems import ProblemError
from services.text.rows import RESPONSE_FIELDS

MARKERS = Markers("質問: ", "\n回答: ")
"""What a prompt and its answer get when they become a text."""
_OWN_FIELDS = {
    RowForm.TEXT: ("text",),
    RowForm.MESSAGES: ("messages",),
    RowForm.CONVERSATIONS: ("conversations", "system"),
    RowForm.PROMPT_COMPLETION: ("prompt", "completion"),
    RowForm.PREFERENCE: ("prompt", "chosen", "rejected"),
    RowForm.LABELED: ("prompt", "completion", "label"),
}
_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}
_NAMES_JA = {"system": "システム", "user": "ユーザー", "assistant": "アシスタント", "tool": "ツール"}

_NO_PROMPT = (
    "the text has no markers such as 質問: and 回答:, so nobody can say what is its prompt",
    "質問: と 回答: のような目印がないため、どこまでがプロンプトか判断できません",
)
_SYSTEM = (
    "it has a system message, for which INSTRUCTION has no place. Convert to PROMPT_COMPLETION, MESSAGES or CONVERSATIONS",
    "system メッセージがありますが、INSTRUCTION には入れる場所がありません。PROMPT_COMPLETION、MESSAGES、CONVERSATIONS のどれかに変換してください",
)
_TURNS = (
    "it has more than one question and answer, and INSTRUCTION holds one. Convert to PROMPT_COMPLETION, MESSAGES or CONVERSATIONS",
    "複数のやり取りがありますが、INSTRUCTION に入るのは 1 つだけです。PROMPT_COMPLETION、MESSAGES、CONVERSATIONS のどれかに変換してください",
)
_TRANSCRIPT = (
    "it is more than one question and answer, and as TEXT all of its turns would be trained, not the answers alone. Convert to PROMPT_COMPLETION, MESSAGES or CONVERSATIONS, or import the data with train_on ALL (--train-on all)",
    "質問と回答 1 組だけではないため、TEXT にすると回答だけでなくすべての発話が学習されます。PROMPT_COMPLETION、MESSAGES、CONVERSATIONS のどれかに変換するか、train_on ALL（--train-on all）でデータを取り込んでください",
)
_MARKER_INSIDE = (
    "its prompt or answer holds the marker 回答: itself, so that the text could not be split again. Choose another form",
    "プロンプトに目印の「回答:」が含まれ、テキストを元どおりに分けられません。別の形式を選んでください",
)


def impossible(source: Shape, target: RowForm) -> Violation | None:
    """Why no row of the source could be converted; None when some can."""
    if target in (RowForm.DETECT, source.form):
        return None
    if source.form is RowForm.TEXT and source.markers is None:
        return _violation(*_NO_PROMPT)
    if target is RowForm.PREFERENCE:
        return _violation("no other form has a rejected answer", "他の形式には rejected に当たる回答がありません")
    if target is RowForm.LABELED and source.form is not RowForm.PREFERENCE:
        en, ja = (
            "only PREFERENCE rows tell which answers are wanted",
            "望ましい回答かどうかが分かるのは PREFERENCE の行だけです",
        )
        return _violation(en, ja)
    return None


def _violation(en: str, ja: str) -> Violation:
    return Violation(
        "recipe.form",
        "CONVERSION_IMPOSSIBLE",
        f"The rows cannot have this form: {en}.",
        f"この形式には変換できません。{ja}。",
    )


class Converter:
    """Converts rows of one shape."""

    def __init__(self, source: Shape, target: RowForm) -> None:
        """`target` is none that is `impossible`."""
        self._source = source
        self.shape = Shape(target, MARKERS if target is RowForm.TEXT else None, source.trained_whole)

    def convert(self, row: Row) -> list[Row]:
        """The row in the new form; none for an answer that is not wanted. Raises ConversionImpossible."""
        try:
            made = list(self._converted(self._source.example(row.value)))
        except ProblemError as error:
            first = error.problems[0]
            raise ConversionImpossible(row=row.number, line=row.line, why_en=first.en, why_ja=first.ja) from None
        except _CannotError as problem:
            raise ConversionImpossible(row=row.number, line=row.line, why_en=problem.en, why_ja=problem.ja) from None
        further = {name: item for name, item in row.value.items() if name not in self._own(row.value)}
        return [row.changed({**value, **_without(further, value)}) for value in made]

    def _converted(self, example: Example) -> Iterator[dict[str, Any]]:
        target = self.shape.form
        if isinstance(example, Plain):
            raise _CannotError(*_NO_PROMPT)
        if target is RowForm.LABELED and isinstance(example, Preference):
            for answer, wanted in ((example.chosen, True), (example.rejected, False)):
                yield {**_prompt_completion((*example.turns, Message("assistant", answer))), "label": wanted}
        elif not isinstance(example, Labeled) or example.label:
            turns = _turns(example)
            if target is RowForm.TEXT and not self._source.trained_whole and not _is_single(turns):
                raise _CannotError(*_TRANSCRIPT)
            yield _WRITERS[target](turns)

    def _own(self, value: dict[str, Any]) -> tuple[str, ...]:
        if self._source.form is RowForm.INSTRUCTION:
            return ("instruction", "input", next(name for name in RESPONSE_FIELDS if name in value))
        return _OWN_FIELDS[self._source.form]


class _CannotError(Exception):
    def __init__(self, en: str, ja: str) -> None:
        super().__init__(en)
        self.en, self.ja = en, ja


def _turns(example: Conversation | Pair | Preference | Labeled) -> tuple[Message, ...]:
    if isinstance(example, Conversation):
        return example.messages
    before = (Message("user", example.prompt),) if isinstance(example, Pair) else example.turns
    return (*before, Message("assistant", example.completion))


def _text(turns: tuple[Message, ...]) -> dict[str, Any]:
    if not _is_single(turns):
        return {"text": "\n".join(f"{_NAMES_JA[turn.role]}: {turn.content}" for turn in turns)}
    prompt, completion = (turn.content for turn in turns)
    text = f"{MARKERS.prompt}{prompt}{MARKERS.completion}{completion}"
    parts = split(text, MARKERS)
    if parts is None or (parts.prompt, parts.completion) != (prompt, completion):
        raise _CannotError(*_MARKER_INSIDE)
    return {"text": text}


def _instruction(turns: tuple[Message, ...]) -> dict[str, Any]:
    if not _is_single(turns):
        raise _CannotError(*(_SYSTEM if turns[0].role == "system" else _TURNS))
    return {"instruction": turns[0].content, "response": turns[1].content}


def _prompt_completion(turns: tuple[Message, ...]) -> dict[str, Any]:
    if _is_single(turns):
        return {"prompt": turns[0].content, "completion": turns[1].content}
    return {"prompt": _list(turns[:-1]), "completion": _list(turns[-1:])}


def _messages(turns: tuple[Message, ...]) -> dict[str, Any]:
    return {"messages": _list(turns)}


def _conversations(turns: tuple[Message, ...]) -> dict[str, Any]:
    return {"conversations": [{"from": _SPEAKERS[turn.role], "value": turn.content} for turn in turns]}


_WRITERS: dict[RowForm, Callable[[tuple[Message, ...]], dict[str, Any]]] = {
    RowForm.TEXT: _text,
    RowForm.INSTRUCTION: _instruction,
    RowForm.PROMPT_COMPLETION: _prompt_completion,
    RowForm.MESSAGES: _messages,
    RowForm.CONVERSATIONS: _conversations,
}


def _is_single(turns: tuple[Message, ...]) -> bool:
    return [turn.role for turn in turns] == ["user", "assistant"]


def _list(turns: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _without(further: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in further.items() if name not in value}
