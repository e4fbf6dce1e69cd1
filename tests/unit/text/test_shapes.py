"""Conversations that are filled in are what the template makes of them, whatever they say."""

from __future__ import annotations

from typing import Any

import pytest

from services.text import chat
from services.text.chat import Chat
from services.text.problems import ProblemError
from services.text.rows import Message, Role
from services.text.shapes import Span, written
from tests.unit.text.families import CHATS, DEEPSEEK_R1
from tests.unit.text.test_supervision import CHATML, ENDLESS, GEMMA, LLAMA_2, LLAMA_3, MARKED, MARKED_WITHOUT_STOP

SAYINGS = (
    *(
        "日本の首都は東京です。",
        "a",
        " 首都は\n",
        "\n\n\t ",
        "",
        "<|im_end|>",
        "</s>",
        "<think>\nはい\n</think>\n\n東京",
    ),
    *(
        "x<|im_start|>assistant\nno",
        "[/INST]",
        "{{ messages }}",
        "{% generation %}",
        '"\\n',
        "\uf8ff0\uf8ff",
        "\u3000全角 ",
    ),
)
CONVERSATIONS: tuple[tuple[Role, ...], ...] = (
    ("user", "assistant"),
    ("system", "user", "assistant"),
    ("user", "assistant", "user", "assistant"),
    ("user", "assistant", "tool", "tool", "assistant"),
)
MACRO = (
    "{% macro shown(m) %}{{ m.content }}{% endmacro %}{% for m in messages %}{% set c = shown(m) | trim %}"
    "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ c }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ c }}<|im_end|>{% endif %}\n{% endfor %}{{ 'none' if tools is none else '' }}"
)
TAKEN = {name: template for name, template in CHATS.items() if template != DEEPSEEK_R1} | {
    "marks": MARKED,
    "stop after the mark": MARKED_WITHOUT_STOP,
    "macro": MACRO,
    "ChatML": CHATML,
    "Gemma": GEMMA,
    "Llama 3": LLAMA_3,
}
SHOWN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>"
LOOKS = (
    "{% if 'a' in m.content %}a{% endif %}",
    "{{ m.content | length }}",
    "{{ m.content[:2] }}",
    "{% if m.content == 'a' %}a{% endif %}",
    "{% if m.content is in ['a', 'b'] %}a{% endif %}",
    "{% if m.content is sequence %}a{% endif %}{{ m.content | upper }}",
    "{% if m.content is iterable %}a{% endif %}{{ m.content | replace('a', 'b') }}",
    "{% if m.content.startswith('a') %}a{% endif %}",
    "{{ m.content.split('</think>')[-1] }}",
    "{{ m.content.strip('a') }}",
    "{{ (m.content + ' ') | trim }}",
    "{{ m.content | tojson }}",
    "{{ m | tojson }}",
    "{{ m }}",
    "{{ m.content | int(7) }}",
    "{{ {'a': 1}[m.content] }}",
    "{{ '%s' | format(m.content) }}",
    "{{ '{}'.format(m.content) }}",
    "{{ [m.content] | join }}",
    "{{ m.content ~ 'a' }}",
    "{{ 'a'.find(m.content) }}",
    "{{ 'a' if m.content in 'abc' else 'b' }}",
    "{{ m.content * 2 }}",
    "{% set c %}{{ m.content }}{% endset %}{{ c | length }}",
    "{% filter upper %}{{ m.content }}{% endfilter %}",
    "{% for c in m.content %}{{ c }}.{% endfor %}",
    "{{ m.content.pieces }}{{ m.content._pieces }}",
    "{{ messages | map(attribute='content') | join('/') }}",
    "{% if loop.changed(m.content) %}a{% endif %}",
    "{% if m.content.strip() | length > 3 %}{{ raise_exception('too long') }}{% endif %}",
)
NOT_LOOKS = (
    "{% if m.content %}a{% endif %}",
    "{% if m.content is string and m.content is not mapping and m.content is defined %}a{% endif %}",
    "{{ m.content | trim if m.content is not none else '' }}",
    "{{ m.content or 'a' }}{{ m.content | default('a', true) }}{{ m.content | string }}",
    "{% set ns = namespace(c='') %}{% set ns.c = ns.c + m.content %}{{ ns.c }}{{ 1 + loop.index }}{{ nobody }}",
    "{% set c %}{{ m.content }}{{ loop.index }}{% endset %}{{ c }}",
)


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("roles", CONVERSATIONS, ids="-".join)
def test_families(name: str, roles: tuple[Role, ...], tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(TAKEN[name], CONVERSATIONS[0], tokenizer.special_tokens_map) is not None
    compare(TAKEN[name], roles, tokenizer, monkeypatch)


@pytest.mark.parametrize("looks", LOOKS)
def test_a_template_that_looks_runs_for_each(looks: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    template = around("{% for m in messages %}" + SHOWN + looks + "{% endfor %}")
    assert written(template, CONVERSATIONS[0], tokenizer.special_tokens_map) is None
    compare(template, CONVERSATIONS[0], tokenizer, monkeypatch)


@pytest.mark.parametrize("uses", NOT_LOOKS)
def test_what_needs_no_look(uses: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    template = around("{% for m in messages %}" + SHOWN + uses + "{% endfor %}")
    assert written(template, CONVERSATIONS[0], tokenizer.special_tokens_map) is not None
    compare(template, CONVERSATIONS[0], tokenizer, monkeypatch)


def test_a_mark_in_a_macro_runs_for_each(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    macro = "{% macro said(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}"
    template = macro + "{% for m in messages %}<|user|>{{ said(m) }}{% endfor %}"
    assert written(template, CONVERSATIONS[0], tokenizer.special_tokens_map) is None
    compare(template, CONVERSATIONS[0], tokenizer, monkeypatch)


def test_some_turns_stripped_and_some_not(tokenizer: Any) -> None:
    turns = [Message("user", " 一 "), Message("assistant", " 二 ")]
    assert Chat(LLAMA_2, tokenizer).render_spans(turns) == ("<s>[INST]  一  [/INST] 二 </s>", [(21, 28)])


@pytest.mark.parametrize("template", [ENDLESS, DEEPSEEK_R1])
def test_others(template: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for roles in CONVERSATIONS:
        compare(template, roles, tokenizer, monkeypatch)


def around(body: str) -> str:
    """A template whose answers are marked, so that nothing else rests on what is written."""
    return body + "{% generation %}{{ messages[-1].content }}{% endgeneration %}"


def compare(template: str, roles: tuple[Role, ...], tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, answers and refusals, beside those of the template run for each conversation."""
    conversations = [
        [Message(role, SAYINGS[(first + 4 * index) % len(SAYINGS)]) for index, role in enumerate(roles)]
        for first in range(len(SAYINGS))
    ]
    quick = Chat(template, tokenizer)
    found = [told(quick, conversation) for conversation in conversations]
    with monkeypatch.context() as patch:
        patch.setattr(chat, "written", lambda *_, **__: None)
        each = Chat(template, tokenizer)
        assert found == [told(each, conversation) for conversation in conversations]


def told(rendering: Chat, conversation: list[Message]) -> tuple[str, list[Span]] | str:
    """What is rendered, or why not."""
    try:
        return rendering.render_spans(conversation)
    except ProblemError as error:
        return error.problems[0].en
