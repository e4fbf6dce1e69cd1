"""Counting says what rendering would make."""

from __future__ import annotations

from typing import Any

import pytest

from services.text import template as templates
from services.text.detection import detect_form
from services.text.rows import parse
from services.text.supervision import count_all, render_all
from tests.unit.text.families import CHATS
from tests.unit.text.test_supervision import CHAT, INSTRUCTION, MARKED, MARKED_WITHOUT_STOP, THINKING

TEXTS = (
    "質問: 日本の首都はどこですか？\n回答: 日本の首都は東京です。",
    "質問: a\n回答: 😀😀",
    "Q:一\nA:Translate.",
    "日本の首都は東京です。",
    "質問: a</s>b\n回答:  c",
    "a",
)
BYTES = {
    "messages": [
        {"role": role, "content": content}
        for role, content in [("user", "😀"), ("assistant", "😀山"), ("user", "一"), ("assistant", " 😀 ")]
    ]
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("train_on", ["completion", "all"])
def test_texts(text: str, train_on: Any, tokenizer: Any) -> None:
    agrees({"text": text}, train_on, None, tokenizer)


@pytest.mark.parametrize("chat_template", [None, MARKED, MARKED_WITHOUT_STOP, THINKING, *CHATS.values()])
@pytest.mark.parametrize("train_on", ["completion", "all"])
@pytest.mark.parametrize("row", [CHAT, INSTRUCTION, BYTES], ids=["chat", "instruction", "bytes"])
def test_chats(row: Any, train_on: Any, chat_template: str | None, tokenizer: Any) -> None:
    if row is CHAT and chat_template == CHATS["gemma"]:
        row = {"messages": CHAT["messages"][1:]}  # it refuses system messages
    agrees(row, train_on, chat_template, tokenizer)


def agrees(row: Any, train_on: Any, chat_template: str | None, tokenizer: Any) -> None:
    tokenizer.chat_template = chat_template
    found = detect_form(row)
    template = templates.bind(templates.for_rows(found.form, found.markers, train_on), tokenizer)
    examples = [parse(row, found.form, found.markers)] * 2
    counted = count_all(examples, template, tokenizer)
    rendered = render_all(examples, template, tokenizer, 1 << 20)
    assert [(one.tokens, one.trained) for one in counted] == [(len(r.input_ids), r.trained_tokens) for r in rendered]
