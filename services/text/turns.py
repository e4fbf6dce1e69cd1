"""Lists of turns in a row: who speaks, what, and in which order. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.text.examples import ROLES, Message, Role
from services.text.fields import empty, missing, string, wrong_type
from services.text.problems import Problem, ProblemError

SHAREGPT_ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "observation": "tool",
}
_OPENAI_ROLES: dict[str, Role] = {role: role for role in ROLES}
# Who may speak after whom; "" is the beginning, and after a system message it is as at the beginning.
_NEXT: dict[str, tuple[str, ...]] = {
    "": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


def conversation(fields: Mapping[str, Any], name: str, *, tools: bool) -> tuple[Message, ...]:
    """Turns that end with the assistant's. Raises ProblemError with everything that is wrong."""
    messages = _listed(fields, name, tools=tools)
    problems = _order(messages, name, last="assistant")
    if problems:
        raise ProblemError(*problems)
    return messages


def opening(fields: Mapping[str, Any], name: str, problems: list[Problem], *, tools: bool) -> tuple[Message, ...]:
    """What is answered: a text, or turns that end with the user's; notes what is wrong."""
    if not isinstance(fields.get(name), list):
        return (Message("user", string(fields, name, problems)),)
    try:
        messages = _listed(fields, name, tools=tools)
    except ProblemError as error:
        problems += error.problems
        return ()
    problems += _order(messages, name, last="user")
    return messages


def answer(fields: Mapping[str, Any], name: str, problems: list[Problem]) -> str:
    """An answer: a text, or a list of one turn of the assistant's; notes what is wrong."""
    value = fields.get(name)
    if not isinstance(value, list):
        return string(fields, name, problems)
    try:
        messages = _listed(fields, name, tools=False)
    except ProblemError as error:
        problems += error.problems
        return ""
    if [message.role for message in messages] != ["assistant"]:
        problems.append(wrong_type(name, "one message of the assistant", " assistant のメッセージ 1 つ"))
    return messages[-1].content


def _listed(fields: Mapping[str, Any], name: str, *, tools: bool) -> tuple[Message, ...]:
    turns = fields.get(name)
    if name not in fields:
        raise ProblemError(missing(name))
    if not isinstance(turns, list):
        raise ProblemError(
            wrong_type(
                name, "a list of messages (in a table, its JSON text)", "メッセージの配列（表ではその JSON テキスト）"
            )
        )
    if not turns:
        raise ProblemError(empty(name))
    problems: list[Problem] = []
    messages = [_message(turn, f"{name}[{index}]", problems, tools=tools) for index, turn in enumerate(turns)]
    if problems:
        raise ProblemError(*problems)
    return tuple(messages)


def _message(turn: object, path: str, problems: list[Problem], *, tools: bool) -> Message:
    if not isinstance(turn, Mapping):
        problems.append(wrong_type(path, "an object with role and content", "role と content を持つオブジェクト"))
        return Message("user", "")
    sharegpt = "from" in turn
    speaker, said, roles = ("from", "value", SHAREGPT_ROLES) if sharegpt else ("role", "content", _OPENAI_ROLES)
    name = string(turn, speaker, problems, path=path)
    role = roles.get(name)
    if name and role is None:
        problems.append(_unknown_role(f"{path}.{speaker}", name, roles))
    if role == "tool" and not tools:
        problems.append(_tool_turn(f"{path}.{speaker}"))
    if turn.get("tool_calls"):
        problems.append(_tool_calls(f"{path}.tool_calls"))
        return Message("assistant", "")
    return Message(role or "user", string(turn, said, problems, path=path))


def _order(messages: Sequence[Message], name: str, last: Role) -> list[Problem]:
    """An optional system message first, then user and assistant in turn; tools speak after the assistant."""
    before = ""
    for index, message in enumerate(messages):
        if index == 0 and message.role == "system":
            continue
        if message.role not in _NEXT[before]:
            return [_wrong_order(f"{name}[{index}].role", _NEXT[before][0], message.role, last)]
        before = message.role
    if before != last:
        return [_wrong_order(f"{name}[{len(messages)}].role", last, "nothing", last)]
    return []


def _unknown_role(place: str, role: str, known: Mapping[str, Role]) -> Problem:
    names = [name for name in known if known[name] != "tool"]
    en = f"{place} is {role[:40]!r}; known are {', '.join(names[:-1])} and {names[-1]}"
    ja = f"{place} の値「{role[:40]}」は使えません。{'、'.join(names)} のどれかです"
    return Problem("UNKNOWN_ROLE", place, en, ja)


def _tool_turn(place: str) -> Problem:
    en, ja = f"{place} is a turn of a tool", f"{place} はツールの発話です"
    return Problem("TOOL_TURN", place, en, ja)


def _tool_calls(place: str) -> Problem:
    en = f"{place} would be lost: calls of tools are trained only as text; write the call into content"
    ja = f"{place} は失われてしまいます。ツールの呼び出しは content に文字列として書いてください"
    return Problem("TOOL_CALLS", place, en, ja)


def _wrong_order(place: str, expected: str, found: str, last: Role) -> Problem:
    en = f"{place} must be {expected}, not {found}: after an optional system message, user and assistant take turns and the {last} comes last"
    found_ja = "発話なし" if found == "nothing" else found
    ja = f"{place} は {expected} でなければなりません（{found_ja}）。先頭の system（省略可）の後は user と assistant が交互に並び、最後は {last} です"
    if found == "tool":
        en += "; a tool speaks only after the assistant, whose content calls it, or after another tool"
        ja += "。tool の発話は、ツールを呼び出す assistant か別の tool の直後にだけ置けます"
    return Problem("WRONG_ROLE_ORDER", place, en, ja)
