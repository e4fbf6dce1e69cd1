"""The forms that a training row may have, and how each becomes an example. Standard library only.

text               {"text": "質問: …\\n回答: …"}, or plain text without markers
instruction        {"instruction": …, "response" or "output": …}, with an optional "input"
prompt_completion  {"prompt": …, "completion": …}
messages           {"messages": [{"role": "system" | "user" | "assistant", "content": …}, …]}
conversations      {"conversations": [{"from": "system" | "human" | "gpt", "value": …}, …]}, with an optional "system"
preference         {"prompt": …, "chosen": …, "rejected": …}
labeled            {"prompt": …, "completion": …, "label": true | false}

In the forms with a prompt, prompt and answers may be lists of messages too, as TRL has them; a preference's prompt may
then be what both answers begin with. Further fields of a row are left alone.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

from services.text import turns
from services.text.examples import (
    ROLES,
    Conversation,
    Example,
    Labeled,
    Message,
    Pair,
    Plain,
    Preference,
    Role,
)
from services.text.fields import label, string
from services.text.markers import Markers, split
from services.text.problems import Problem, ProblemError

__all__ = [
    "FIELDS",
    "FIELD_NAMES",
    "RESPONSE_FIELDS",
    "ROLES",
    "Conversation",
    "Example",
    "Form",
    "Labeled",
    "Message",
    "Pair",
    "Plain",
    "Preference",
    "Role",
    "leaves_out",
    "parse",
    "unused_fields",
    "used_fields",
]


class Form(StrEnum):
    """What the fields of a row are."""

    TEXT = "text"
    INSTRUCTION = "instruction"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt_completion"
    CONVERSATIONS = "conversations"
    PREFERENCE = "preference"
    LABELED = "labeled"


RESPONSE_FIELDS = ("response", "output")
FIELDS: dict[Form, tuple[str, ...]] = {
    Form.TEXT: ("text",),
    Form.INSTRUCTION: ("instruction", "input", *RESPONSE_FIELDS),
    Form.MESSAGES: ("messages",),
    Form.CONVERSATIONS: ("conversations", "system"),
    Form.PROMPT_COMPLETION: ("prompt", "completion"),
    Form.PREFERENCE: ("prompt", "chosen", "rejected"),
    Form.LABELED: ("prompt", "completion", "label"),
}
"""The fields that each form uses; of those for the response, the first that is there."""
FIELD_NAMES = frozenset(name for names in FIELDS.values() for name in names)
_MEANT = (FIELD_NAMES - {"label"}) | {"system", "history", "context"}
"""Fields that usually hold something to learn from."""


def parse(row: object, form: Form, markers: Markers | None = None, *, tools: bool = False) -> Example:
    """Turns a row into an example. Raises ProblemError with everything that is wrong in it.

    Under `markers`, a text that lacks them is learnt whole. `tools` says whether turns of tools may be there.
    """
    fields = _mapping(row)
    if form is Form.TEXT:
        return _text(fields, markers)
    if form is Form.INSTRUCTION:
        return _instruction(fields)
    if form is Form.MESSAGES:
        return Conversation(turns.conversation(fields, "messages", tools=tools))
    if form is Form.CONVERSATIONS:
        return _conversations(fields, tools=tools)
    return _answered(fields, form, tools=tools)


def used_fields(names: Container[str], form: Form) -> tuple[str, ...]:
    """The fields that a row with these names is read by."""
    response = next((name for name in RESPONSE_FIELDS if name in names), RESPONSE_FIELDS[0])
    return tuple(name for name in FIELDS[form] if name not in RESPONSE_FIELDS or name == response)


@lru_cache
def leaves_out(names: tuple[str, ...], form: Form) -> tuple[str, ...]:
    """Names of fields that usually hold something to learn from, but not in this form."""
    used = used_fields(names, form)
    return tuple(name for name in names if name in _MEANT and name not in used)


def unused_fields(row: Mapping[str, Any], form: Form) -> list[str]:
    """Those in which something stands: a text, or a list of turns perhaps."""
    return [name for name in leaves_out(tuple(row), form) if row[name] and isinstance(row[name], (str, list))]


def _mapping(row: object) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    kind = type(row).__name__
    raise ProblemError(
        Problem(
            "NOT_AN_OBJECT",
            "",
            f"the row is not a JSON object but a {kind}; write it as {{…}} with named fields",
            f"行が JSON オブジェクトではありません（{kind}）。{{…}} の形で項目名を付けて書いてください",
        )
    )


def _text(fields: Mapping[str, Any], markers: Markers | None) -> Example:
    problems: list[Problem] = []
    text = string(fields, "text", problems)
    if problems:
        raise ProblemError(*problems)
    parts = split(text, markers) if markers is not None else None
    if parts is None:
        return Plain(text)
    for name, part in (("prompt", parts.prompt), ("completion", parts.completion)):
        if not part.strip():
            problems.append(_empty_part(name, parts.markers))
    if problems:
        raise ProblemError(*problems)
    return Pair(parts.prompt, parts.completion)


def _instruction(fields: Mapping[str, Any]) -> Pair:
    problems: list[Problem] = []
    prompt = string(fields, "instruction", problems)
    completion = string(fields, next((n for n in RESPONSE_FIELDS if n in fields), "response"), problems)
    extra = string(fields, "input", problems, optional=True)
    if problems:
        raise ProblemError(*problems)
    return Pair(f"{prompt}\n\n{extra}" if extra else prompt, completion)


def _conversations(fields: Mapping[str, Any], *, tools: bool) -> Conversation:
    messages = turns.conversation(fields, "conversations", tools=tools)
    problems: list[Problem] = []
    system = string(fields, "system", problems, optional=True)
    if problems:
        raise ProblemError(*problems)
    opened = system and messages[0].role != "system"
    return Conversation((Message("system", system), *messages) if opened else messages)


def _answered(fields: Mapping[str, Any], form: Form, *, tools: bool) -> Example:
    """The forms with a prompt and its answers."""
    problems: list[Problem] = []
    example: Example
    if form is Form.PREFERENCE:
        fields = _explicit(fields)
        opening = turns.opening(fields, "prompt", problems, tools=tools)
        chosen, rejected = (turns.answer(fields, name, problems) for name in ("chosen", "rejected"))
        if not problems and chosen == rejected:
            problems.append(_equal_answers())
        example = Preference(opening, chosen, rejected)
    else:
        opening = turns.opening(fields, "prompt", problems, tools=tools)
        completion = turns.answer(fields, "completion", problems)
        if form is Form.LABELED:
            example = Labeled(opening, completion, label(fields, "label", problems))
        elif isinstance(fields.get("prompt"), list):
            example = Conversation((*opening, Message("assistant", completion)))
        else:
            example = Pair(opening[0].content, completion)
    if problems:
        raise ProblemError(*problems)
    return example


def _explicit(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """A preference with its prompt taken out of the two conversations that begin with it."""
    chosen, rejected = fields.get("chosen"), fields.get("rejected")
    if not (isinstance(chosen, list) and isinstance(rejected, list) and len(chosen) > 1):
        return fields
    if len(chosen) != len(rejected) or chosen[:-1] != rejected[:-1]:
        return fields
    return {**fields, "prompt": chosen[:-1], "chosen": chosen[-1:], "rejected": rejected[-1:]}


def _empty_part(name: str, markers: Markers) -> Problem:
    marker = (markers.prompt if name == "prompt" else markers.completion).strip()
    return Problem("EMPTY_FIELD", "text", f"nothing stands after {marker}", f"「{marker}」の後に何もありません")


def _equal_answers() -> Problem:
    en, ja = (
        "chosen and rejected are the same; nothing can be learnt from them",
        "chosen と rejected が同じで、学習できることがありません",
    )
    return Problem("EQUAL_ANSWERS", "rejected", en, ja)
