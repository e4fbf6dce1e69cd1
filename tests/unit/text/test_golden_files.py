"""What each family of templates trains, in files that a person can read: ⟦…⟧ is trained, everything else is not.

A file has one section a row: its name, the row's text as the model sees it, and its tokens, one in brackets each,
trained ones with a star. AIFT_WRITE_GOLDEN=1 writes the files anew; the difference is to be read before it is kept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from services.text import template as templates
from services.text.detection import detect_form
from services.text.problems import ProblemError
from services.text.rows import parse
from services.text.supervision import Rendered, render
from tests.unit.text.families import CHATS, WITHOUT_SYSTEM

GOLDEN = Path(__file__).parent / "golden"
TURNS = [
    {"role": "user", "content": "日本の首都はどこですか？"},
    {"role": "assistant", "content": "日本の首都は東京です。"},
    {"role": "user", "content": "英語に訳してください。"},
    {"role": "assistant", "content": "Translate 😀"},
]
SYSTEM = {"role": "system", "content": "丁寧に答えてください。"}
CHAT_ROWS = {
    "instruction": {"instruction": "英語に訳してください。", "input": "首都", "output": "Translate."},
    "turns": {"messages": TURNS},
    "turns with system": {"messages": [SYSTEM, *TURNS]},
}
MARKED_ROWS = {
    "質問 / 回答": {"text": "質問: 日本の首都はどこですか？\n回答: 日本の首都は東京です。"},
    "指示 / 応答": {"text": "指示：英語に訳してください。\n応答：Translate."},
    "入力 / 出力": {"text": "入力: 山\n出力: 高さは3,776メートルです。"},
    "Q / A": {"text": "Q: 日本の首都は？\nA: 東京です。"},
    "headings": {"text": "### 指示:\n英語に訳してください。\n\n### 応答:\nTranslate."},
    "a token that straddles": {"text": "Q:一\nA:Translate."},
    "models without a chat template": {"instruction": "英語に訳してください。", "output": "Translate."},
}
PLAIN_ROWS = {
    "text": {"text": "日本の首都は東京です。"},
    "lines": {"text": "山の高さは\n3,776メートルです。"},
    "bytes": {"text": "日本😀"},
    "a stop token of its own": {"text": "日本の首都は東京です。</s>"},
}
CASES = {
    **{family: (CHAT_ROWS, chat_template) for family, chat_template in CHATS.items()},
    "marker-pairs": (MARKED_ROWS, None),
    "plain-text": (PLAIN_ROWS, None),
}


@pytest.mark.parametrize("family", CASES)
def test_a_family_trains_what_its_file_says(family: str, tokenizer: Any) -> None:
    rows, chat_template = CASES[family]
    told = "\n".join(section(name, row, chat_template, tokenizer) for name, row in rows.items())
    path = GOLDEN / f"{family}.txt"
    if os.environ.get("AIFT_WRITE_GOLDEN"):
        path.write_text(told, encoding="utf-8")
    assert told == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("family", CASES)
def test_a_family_trains_answers_and_stop_tokens_only(family: str, tokenizer: Any) -> None:
    """What a reader of the files relies on, whatever they say."""
    rows, chat_template = CASES[family]
    for name, row in rows.items():
        if family in WITHOUT_SYSTEM and "system" in name:
            continue
        rendered, template = supervised(row, chat_template, tokenizer)
        trained = "".join(p for p, t in zip(rendered.pieces, rendered.trained, strict=True) if t)
        assert trained.strip().endswith(template.stop[0])
        if family != "plain-text":
            assert "首都はどこ" not in trained
            assert "訳してください" not in trained
        assert rendered.input_ids[:2] != [tokenizer.bos_token_id] * 2


def section(name: str, row: Any, chat_template: str | None, tokenizer: Any) -> str:
    """One row for the file."""
    try:
        rendered, template = supervised(row, chat_template, tokenizer)
    except ProblemError as error:
        return f"== {name}\nrefused: {error.problems[0].reason}\n"
    tokens = " ".join(
        f"[{piece!r}]{'*' if trained else ''}" for piece, trained in zip(rendered.pieces, rendered.trained, strict=True)
    )
    stop = " ".join(template.stop)
    return f"== {name}\n{rendered.marked()}\n-- ends with {stop}; tokens\n{tokens}\n"


def supervised(row: Any, chat_template: str | None, tokenizer: Any) -> tuple[Rendered, templates.Template]:
    """A row as the trainer sees it."""
    tokenizer.chat_template = chat_template
    found = detect_form(row)
    template = templates.bind(templates.for_rows(found.form, found.markers), tokenizer)
    return render(parse(row, found.form, found.markers), template, tokenizer, 1000), template
