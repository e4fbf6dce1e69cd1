"""The forms that a training row may have, and how each becomes an example. Standard library only.

text          {"text": "質問: …\\n回答: …"}, or plain text without markers
instruction   {"instruction": …, "response" or "output": …}, with an optional "input"
messages      {"messages": [{"role": "system" | "user" | "assistant", "content": …}, …]}

Further fields of a row are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from services.text.markers import Markers, split
from services.text.problems import Problem, ProblemError


class Form(StrEnum):
    """What the fields of a row are."""

    TEXT = "text"
    INSTRUCTION = "instruction"
    MESSAGES = "messages"


Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
RESPONSE_FIELDS = ("response", "output")
_BROKEN = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: Role
    content: str


@dataclass(frozen=True)
class Conversation:
    """Turns that end with one of the assistant's; every one of the assistant's is learnt."""

    messages: tuple[Message, ...]

    @property
    def prompt(self) -> str:
        """What comes before the last answer, for people."""
        return "\n".join(f"{message.role}: {message.content}" for message in self.messages[:-1])

    @property
    def completion(self) -> str:
        """The last answer."""
        return self.messages[-1].content


@dataclass(frozen=True)
class Pair:
    """A prompt and the completion that is learnt."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class Plain:
    """A text that is learnt whole."""

    completion: str
    prompt: str = ""


Example = Conversation | Pair | Plain


def parse(row: object, form: Form, markers: Markers | None = None) -> Example:
    """Turns a row into an example. Raises ProblemError with everything that is wrong in it.

    Under `markers`, a text that lacks them is learnt whole.
    """
    fields = _mapping(row)
    if form is Form.TEXT:
        return _text(fields, markers)
    return _instruction(fields) if form is Form.INSTRUCTION else _messages(fields)


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
    text = _string(fields, "text", problems)
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
    prompt = _string(fields, "instruction", problems)
    completion = _string(fields, next((n for n in RESPONSE_FIELDS if n in fields), "response"), problems)
    extra = _string(fields, "input", problems, optional=True)
    if problems:
        raise ProblemError(*problems)
    return Pair(f"{prompt}\n\n{extra}" if extra else prompt, completion)


def _messages(fields: Mapping[str, Any]) -> Conversation:
    turns = fields.get("messages")
    if "messages" not in fields:
        raise ProblemError(_missing("messages"))
    if not isinstance(turns, list) or not turns:
        raise ProblemError(_wrong_type("messages", "a list of messages", "メッセージの配列"))
    problems: list[Problem] = []
    messages = [_message(turn, f"messages[{index}]", problems) for index, turn in enumerate(turns)]
    problems = problems or _role_order(messages)
    if problems:
        raise ProblemError(*problems)
    return Conversation(tuple(messages))


def _message(turn: object, path: str, problems: list[Problem]) -> Message:
    if not isinstance(turn, Mapping):
        problems.append(_wrong_type(path, "an object with role and content", "role と content を持つオブジェクト"))
        return Message("user", "")
    role = _string(turn, "role", problems, path=path)
    if role and role not in ROLES:
        problems.append(_unknown_role(f"{path}.role", role))
    content = _string(turn, "content", problems, path=path)
    return Message(next((known for known in ROLES if known == role), "user"), content)


def _role_order(messages: list[Message]) -> list[Problem]:
    """An optional system message first, then user and assistant in turn, the assistant last."""
    start = 1 if messages[0].role == "system" else 0
    for index, message in enumerate(messages[start:]):
        expected = ("user", "assistant")[index % 2]
        if message.role != expected:
            return [_wrong_order(f"messages[{start + index}].role", expected, message.role)]
    if messages[-1].role != "assistant":
        return [_wrong_order(f"messages[{len(messages)}].role", "assistant", "nothing")]
    return []


def _string(
    fields: Mapping[str, Any], name: str, problems: list[Problem], *, optional: bool = False, path: str = ""
) -> str:
    """The field's text; notes what is wrong with it and returns "" then."""
    place, value = f"{path}.{name}" if path else name, fields.get(name)
    if optional and value in (None, ""):
        return ""
    if name not in fields:
        problems.append(_missing(place))
    elif not isinstance(value, str):
        problems.append(_wrong_type(place, "a string", "文字列"))
    elif not value.strip():
        problems.append(Problem("EMPTY_FIELD", place, f"{place} is empty", f"{place} が空です"))
    elif _BROKEN.search(value):
        problems.append(_not_text(place))
    else:
        return value
    return ""


def _missing(place: str) -> Problem:
    return Problem("MISSING_FIELD", place, f"{place} is missing", f"{place} がありません")


def _wrong_type(place: str, en: str, ja: str) -> Problem:
    return Problem("WRONG_TYPE", place, f"{place} must be {en}", f"{place} は{ja}でなければなりません")


def _not_text(place: str) -> Problem:
    en = f"{place} holds half a character (a lone surrogate) or NUL; write the text again in UTF-8"
    ja = f"{place} に壊れた文字（単独のサロゲートまたは NUL）があります。UTF-8 で書き直してください"
    return Problem("INVALID_CHARACTERS", place, en, ja)


def _empty_part(name: str, markers: Markers) -> Problem:
    marker = (markers.prompt if name == "prompt" else markers.completion).strip()
    return Problem("EMPTY_FIELD", "text", f"nothing stands after {marker}", f"「{marker}」の後に何もありません")


def _unknown_role(place: str, role: str) -> Problem:
    en = f"{place} is {role[:40]!r}; known are system, user and assistant"
    return Problem(
        "UNKNOWN_ROLE", place, en, f"{place} の値「{role[:40]}」は使えません。system、user、assistant のどれかです"
    )


def _wrong_order(place: str, expected: str, found: str) -> Problem:
    en = f"{place} must be {expected}, not {found}: after an optional system message, user and assistant take turns and the assistant comes last"
    ja = f"{place} は {expected} でなければなりません（{found}）。先頭の system（省略可）の後は user と assistant が交互に並び、最後は assistant です"
    return Problem("WRONG_ROLE_ORDER", place, en, ja)
