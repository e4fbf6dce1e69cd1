"""Rows with several answers: what of them counts."""

from __future__ import annotations

from typing import Any

import pytest

from services.text.answers import texts_of
from services.text.rows import Form, parse
from services.text.supervision import count_all, render_all
from services.text.template import Template, bind

ROW = {
    "prompt": [
        {"role": "user", "content": "こんにちは"},
        {"role": "assistant", "content": "やあ"},
        {"role": "user", "content": "元気？"},
    ],
    "chosen": "はい",
    "rejected": "いいえ",
}


@pytest.mark.parametrize("kind", ["chat", "markers"])
@pytest.mark.parametrize("train_on", ["completion", "all"])
def test_only_the_last_answer_counts(kind: Any, train_on: Any, tokenizer: Any) -> None:
    marks = {"prompt_marker": "質問: ", "completion_marker": "\n回答: "} if kind == "markers" else {}
    template = bind(Template(kind=kind, form=Form.PREFERENCE, train_on=train_on, **marks), tokenizer)
    texts = texts_of(parse(ROW, Form.PREFERENCE))
    assert [text.answer for text in texts] == ["chosen", "rejected"]
    rendered = render_all([text.example for text in texts], template, tokenizer, 512)
    for one, answer in zip(rendered, ("はい", "いいえ"), strict=True):
        marked = one.marked()
        assert marked.count("⟦") == 1
        assert marked.partition("⟦")[2].startswith(answer)
        assert "やあ" in marked.partition("⟦")[0]
    counts = count_all([text.example for text in texts], template, tokenizer)
    assert [(c.tokens, c.trained) for c in counts] == [(len(r.input_ids), r.trained_tokens) for r in rendered]
