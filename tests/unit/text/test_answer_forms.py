"""Rows with prompts and answers, ShareGPT conversations, and turns of tools."""

from __future__ import annotations

from typing import Any

import pytest

from services.text.detection import detect_form
from services.text.problems import ProblemError
from services.text.rows import Conversation, Form, Labeled, Message, Pair, Preference, parse

USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
OTHER = {"role": "assistant", "content": "c"}
ASKED = (Message("user", "a"),)
TOOLS = [
    USER, {"role": "assistant", "content": "look it up"}, {"role": "tool", "content": "42"}, ASSISTANT,
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "form", "example"),
    [
        ({"prompt": "a", "completion": "b"}, Form.PROMPT_COMPLETION, Pair("a", "b")),
        (
            {"prompt": [USER], "completion": [ASSISTANT]},
            Form.PROMPT_COMPLETION,
            Conversation((*ASKED, Message("assistant", "b"))),
        ),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, Form.PREFERENCE, Preference(ASKED, "b", "c")),
        ({"prompt": [USER], "chosen": [ASSISTANT], "rejected": [OTHER]}, Form.PREFERENCE, Preference(ASKED, "b", "c")),
        ({"chosen": [USER, ASSISTANT], "rejected": [USER, OTHER]}, Form.PREFERENCE, Preference(ASKED, "b", "c")),
        ({"prompt": "a", "completion": "b", "label": False}, Form.LABELED, Labeled(ASKED, "b", label=False)),
        ({"prompt": "a", "completion": "b", "label": "1"}, Form.LABELED, Labeled(ASKED, "b", label=True)),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"},
            Form.CONVERSATIONS,
            Conversation((Message("system", "s"), *ASKED, Message("assistant", "b"))),
        ),
    ],
)
def test_forms_are_told_and_read(row: dict[str, Any], form: Form, example: object) -> None:
    assert detect_form(row).form is form
    assert parse(row, form) == example


def test_examples_are_shown_as_prompt_and_completion() -> None:
    preference = parse({"prompt": "a", "chosen": "b", "rejected": "c"}, Form.PREFERENCE)
    assert (preference.prompt, preference.completion, preference.contents) == ("a", "b", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("row", "form", "reason", "field"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, Form.PREFERENCE, "EQUAL_ANSWERS", "rejected"),
        ({"chosen": "b", "rejected": "c"}, Form.PREFERENCE, "MISSING_FIELD", "prompt"),
        (
            {"prompt": [ASSISTANT], "chosen": "b", "rejected": "c"},
            Form.PREFERENCE,
            "WRONG_ROLE_ORDER",
            "prompt[0].role",
        ),
        ({"prompt": "a", "chosen": [USER], "rejected": "c"}, Form.PREFERENCE, "WRONG_TYPE", "chosen"),
        ({"prompt": "a", "completion": "b", "label": 2}, Form.LABELED, "WRONG_TYPE", "label"),
        ({"prompt": "a", "completion": "b"}, Form.LABELED, "MISSING_FIELD", "label"),
        ({"prompt": "a", "completion": " "}, Form.PROMPT_COMPLETION, "EMPTY_FIELD", "completion"),
        (
            {"conversations": [{"from": "bot", "value": "a"}]},
            Form.CONVERSATIONS,
            "UNKNOWN_ROLE",
            "conversations[0].from",
        ),
        ({"messages": TOOLS}, Form.MESSAGES, "TOOL_TURN", "messages[2].role"),
        (
            {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{}]}]},
            Form.MESSAGES,
            "TOOL_CALLS",
            "messages[1].tool_calls",
        ),
    ],
)
def test_what_is_wrong_is_named(row: dict[str, Any], form: Form, reason: str, field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        parse(row, form)
    assert [(problem.reason, problem.field) for problem in refused.value.problems] == [(reason, field)]


def test_turns_of_tools_are_kept_where_that_is_chosen() -> None:
    example = parse({"messages": TOOLS}, Form.MESSAGES, tools=True)
    assert isinstance(example, Conversation)
    assert [message.role for message in example.messages] == ["user", "assistant", "tool", "assistant"]
    with pytest.raises(ProblemError):
        parse({"messages": [USER, {"role": "tool", "content": "x"}, ASSISTANT]}, Form.MESSAGES, tools=True)
