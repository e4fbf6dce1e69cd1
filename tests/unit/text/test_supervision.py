"""Which tokens are trained, as a person can read it: ⟦…⟧ is trained, everything else is not."""

from __future__ import annotations

from typing import Any

import pytest

from services.text import template as templates
from services.text.detection import detect_form
from services.text.problems import ProblemError
from services.text.rows import Form, Message, parse
from services.text.supervision import Rendered, differs_when_served, render
from services.text.template import Template

CHAT = {
    "messages": [
        {"role": "system", "content": "丁寧に。"},
        {"role": "user", "content": "一"},
        {"role": "assistant", "content": "二"},
        {"role": "user", "content": "三"},
        {"role": "assistant", "content": "四"},
    ]
}
INSTRUCTION = {"instruction": "訳して", "response": "Yes"}

MARKED = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}"
    "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKED_WITHOUT_STOP = MARKED.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML.replace(
    "{{ m.content }}",
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
)
LLAMA_2 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
SARASHINA = (
    "{% for m in messages %}{% if m.role == 'user' %}<|user|>{% elif m.role == 'assistant' %}<|assistant|>{% endif %}"
    "{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LLM_JP = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '\\n\\n' }}### 指示:\n{{ m.content }}"
    "{% elif m.role == 'assistant' %}{{ '\\n\\n' }}### 応答:\n{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\n' }}### 応答:\n{% endif %}"
)
CALM_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }}\n"
    "{% elif m.role == 'assistant' %}ASSISTANT: {{ m.content }}{{ eos_token }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>{{ '\\n\\n' }}"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}"
    "{% else %}<｜Assistant｜>{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜><think>\n{% endif %}"
)
ENDLESS = "{# <|user|> #}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{# <|assistant|> #}"
STRANGE = "{% for m in messages %}{{ m.role }}> {{ m.content }}\n{% endfor %}"


def rendered(row: Any, tokenizer: Any, chat_template: str | None = None, **options: Any) -> Rendered:
    tokenizer.chat_template = chat_template
    found = detect_form(row)
    template = templates.bind(templates.for_rows(found.form, found.markers, options.get("train_on")), tokenizer)
    return render(parse(row, found.form, found.markers), template, tokenizer, options.get("max_length", 1000))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "質問: 日本の首都はどこですか？\n回答: 日本の首都は【東京】です。",
            "<s>質問: 日本の首都はどこですか？\n回答: ⟦日本の首都は【東京】です。</s>⟧",
        ),
        ("日本の首都は東京です。", "<s>⟦日本の首都は東京です。</s>⟧"),
        ("日本の首都は東京です。</s>", "<s>⟦日本の首都は東京です。</s>⟧"),  # the stop token once
    ],
)
def test_text(text: str, expected: str, tokenizer: Any) -> None:
    assert rendered({"text": text}, tokenizer).marked() == expected


@pytest.mark.parametrize(
    ("row", "chat_template", "expected"),
    [
        (
            CHAT,
            MARKED,
            (
                "<s><|im_start|>system\n丁寧に。<|im_end|>\n<|im_start|>user\n一<|im_end|>\n"
                "<|im_start|>assistant\n⟦二<|im_end|>⟧\n<|im_start|>user\n三<|im_end|>\n"
                "<|im_start|>assistant\n⟦四<|im_end|>⟧\n"
            ),
        ),
        (
            CHAT,
            CHATML,
            (
                "<|im_start|>system\n丁寧に。<|im_end|>\n<|im_start|>user\n一<|im_end|>\n"
                "<|im_start|>assistant\n⟦二<|im_end|>⟧\n<|im_start|>user\n三<|im_end|>\n"
                "<|im_start|>assistant\n⟦四<|im_end|>⟧\n"
            ),
        ),
        (
            INSTRUCTION,
            MARKED_WITHOUT_STOP,
            "<s><|im_start|>user\n訳して<|im_end|>\n<|im_start|>assistant\n⟦Yes<|im_end|>⟧\n",
        ),
        (
            INSTRUCTION,
            THINKING,
            "<|im_start|>user\n訳して<|im_end|>\n<|im_start|>assistant\n⟦<think>\n\n</think>\n\nYes<|im_end|>⟧\n",
        ),
        (INSTRUCTION, LLAMA_2, "<s>[INST] 訳して [/INST]⟦ Yes </s>⟧"),
        (
            INSTRUCTION,
            LLAMA_3,
            (
                "<s><|start_header_id|>user<|end_header_id|>\n\n訳して<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Yes<|eot_id|>⟧"
            ),
        ),
        (
            INSTRUCTION,
            GEMMA,
            "<s><start_of_turn>user\n訳して<end_of_turn>\n<start_of_turn>model\n⟦Yes<end_of_turn>⟧\n",
        ),
        (INSTRUCTION, DEEPSEEK, "<s><｜User｜>訳して<｜Assistant｜>⟦Yes</s>⟧"),
        (INSTRUCTION, SARASHINA, "<|user|>訳して</s><|assistant|>⟦Yes</s>⟧"),
        (INSTRUCTION, LLM_JP, "<s>\n\n### 指示:\n訳して\n\n### 応答:\n⟦Yes</s>⟧"),
        (INSTRUCTION, CALM_2, "USER: 訳して\nASSISTANT: ⟦Yes</s>⟧\n"),
        (INSTRUCTION, None, "<s>### 指示:\n訳して\n\n### 応答:\n⟦Yes</s>⟧"),
        (
            CHAT,
            None,
            "<s>丁寧に。\n\n### 指示:\n一\n\n### 応答:\n⟦二</s>⟧### 指示:\n三\n\n### 応答:\n⟦四</s>⟧",
        ),
    ],
    ids=[
        "marks",
        "ChatML",
        "stop after mark",
        "thinking",
        "Llama 2",
        "Llama 3",
        "Gemma",
        "DeepSeek",
        "sarashina",
        "llm-jp",
        "calm2",
        "none",
        "turns",
    ],
)
def test_chat(row: Any, chat_template: str | None, expected: str, tokenizer: Any) -> None:
    marked = rendered(row, tokenizer, chat_template).marked()
    assert without_straddling(marked) == without_straddling(expected)


def without_straddling(marked: str) -> str:
    """White space may share a token with the answer's first character; that token is trained."""
    return (
        marked.replace("\n⟦", "⟦\n").replace(" ⟦", "⟦ ").replace("応答:⟦", "⟦応答:").replace("assistant⟦", "⟦assistant")
    )


def test_train_on_all(tokenizer: Any) -> None:
    text = {"text": "質問: 日本の首都はどこですか？\n回答: 東京"}
    assert rendered(text, tokenizer, train_on="all").marked() == "<s>⟦質問: 日本の首都はどこですか？\n回答: 東京</s>⟧"


def test_a_token_that_straddles_prompt_and_answer_is_trained_and_told(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    row = {"text": "Q:一\nA:Translate."}  # this tokenizer has learnt "A:Translate." as one token
    found = detect_form(row)
    template = templates.bind(templates.for_rows(found.form, found.markers), tokenizer)
    example = parse(row, found.form, found.markers)
    assert render(example, template, tokenizer, 1000).marked() == "<s>Q:一\n⟦A:Translate.</s>⟧"
    assert differs_when_served(example, template, tokenizer)
    assert not differs_when_served(parse({"text": "Q:一\nA:二"}, found.form, found.markers), template, tokenizer)


def test_truncation_is_reported(tokenizer: Any) -> None:
    whole = rendered({"text": "日本の首都は東京です。"}, tokenizer)
    cut = rendered({"text": "日本の首都は東京です。"}, tokenizer, max_length=3)
    assert len(cut.input_ids) == 3
    assert cut.dropped_tokens == len(whole.input_ids) - 3
    assert cut.input_ids == whole.input_ids[:3]


def test_what_another_call_asked_of_the_tokenizer_changes_nothing(tokenizer: Any) -> None:
    row = {"text": "質問: a</s>b\n回答: 日本の首都は東京です。"}
    before = rendered(row, tokenizer)
    tokenizer("a", truncation=True, max_length=3, padding="max_length", split_special_tokens=False)
    assert rendered(row, tokenizer) == before


def test_rows_cannot_slip_in_special_tokens(tokenizer: Any) -> None:
    ids = rendered({"text": "質問: a</s>b\n回答: c"}, tokenizer).input_ids
    assert ids.count(tokenizer.eos_token_id) == 1
    assert ids.count(tokenizer.bos_token_id) == 1


def test_bytes_of_one_character_are_trained_together(tokenizer: Any) -> None:
    row = rendered({"text": "質問: a\n回答: 😀"}, tokenizer)
    assert row.pieces[-5:] == ["😀", "", "", "", "</s>"]
    assert row.trained[-5:] == [True] * 5


def test_a_template_without_stop_token_gets_one(tokenizer: Any) -> None:
    row = rendered(
        INSTRUCTION,
        tokenizer,
        ENDLESS.replace("{# <|assistant|> #}", "{% if add_generation_prompt %}<|assistant|>{% endif %}"),
    )
    assert row.marked() == "<|user|>訳して<|assistant|>⟦Yes</s>⟧"


def test_an_unknown_template_without_marks_is_refused_with_the_remedy(tokenizer: Any) -> None:
    with pytest.raises(ProblemError, match="generation") as caught:
        rendered(INSTRUCTION, tokenizer, STRANGE)
    assert caught.value.problems[0].reason == "TEMPLATE_NOT_MARKED"


TOOL_TURNS = [
    {"role": "user", "content": "天気は？"},
    {"role": "assistant", "content": "調べます。"},
    {"role": "tool", "content": "晴れ"},
    {"role": "assistant", "content": "よい天気です。"},
]


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize(
    ("messages", "reason"), [(CHAT["messages"], "SYSTEM_MESSAGE_DROPPED"), (TOOL_TURNS, "TOOL_TURN_DROPPED")]
)
def test_a_system_message_or_tool_turn_that_the_template_leaves_out_is_refused_with_the_remedy(
    tokenizer: Any, messages: list[Any], reason: str, *, marked: bool
) -> None:
    answer = "{% generation %}{{ m.content }}{% endgeneration %}" if marked else "{{ m.content }}"
    only_turns = (
        "{# <|user|> #}{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}"
        "{% elif m.role == 'assistant' %}<|assistant|>" + answer + "{% endif %}{% endfor %}"
    )
    tokenizer.chat_template = only_turns
    template = templates.bind(Template(kind="chat", form=Form.MESSAGES), tokenizer)
    with pytest.raises(ProblemError, match="leaves") as caught:
        render(parse({"messages": messages}, Form.MESSAGES, tools=True), template, tokenizer, 1000)
    assert [problem.reason for problem in caught.value.problems] == [reason]
    shown = [message for message in messages if message["role"] not in ("system", "tool")][:2]
    render(parse({"messages": shown}, Form.MESSAGES), template, tokenizer, 1000)


def test_serving_sees_the_tokens_of_training(tokenizer: Any) -> None:
    for row, chat_template in ((INSTRUCTION, MARKED), (INSTRUCTION, CHATML), (INSTRUCTION, SARASHINA)):
        tokenizer.chat_template = chat_template
        found = detect_form(row)
        bound = templates.bind(templates.for_rows(found.form, found.markers), tokenizer)
        template = templates.parse_template(bound.to_json())
        trained = render(parse(row, found.form), template, tokenizer, 1000)
        served = templates.prompt_ids(template, "訳して", "", tokenizer)
        assert trained.input_ids[: len(served)] == served
        assert trained.trained[len(served) :].index(True) == 0


def test_template_json_comes_back_as_it_was(tokenizer: Any) -> None:
    tokenizer.chat_template = MARKED
    template = templates.bind(Template(kind="chat"), tokenizer)
    assert template.stop == ("<|im_end|>",)
    assert templates.parse_template(template.to_json()) == template


@pytest.mark.parametrize("text", ["[]", "{", '{"kind": "chat"}', '{"kind": "other", "form": "text"}'])
def test_unreadable_template_json(text: str) -> None:
    with pytest.raises(templates.TemplateError):
        templates.parse_template(text)


def test_prompts_are_wrapped_once(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    found = detect_form({"text": "質問: a\n回答: b"})
    template = templates.bind(templates.for_rows(found.form, found.markers), tokenizer)
    expected = "質問: 首都は？\n回答: "
    assert templates.render_prompt(template, "首都は？", tokenizer) == expected
    assert templates.render_prompt(template, "質問: 首都は？\n回答: ", tokenizer) == expected
    assert templates.render_prompt(template, "質問：首都は？\n回答：", tokenizer) == expected


def test_raw_prompts_and_prompts_of_models_without_template(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    ids = templates.prompt_ids(None, "日本の首都は", "", tokenizer)
    assert tokenizer.decode(ids) == "<s>日本の首都は"
    assert templates.prompt_ids(None, "<s>日本の首都は", "", tokenizer) == ids
    assert templates.prompt_ids(templates.parse_template(""), "日本の首都は", "", tokenizer) == ids


def test_earlier_turns_of_a_chat_end_with_the_stop_token(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    found = detect_form({"text": "質問: a\n回答: b"})
    template = templates.bind(templates.for_rows(found.form, found.markers), tokenizer)
    turns = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    assert tokenizer.decode(templates.prompt_ids(template, turns, "", tokenizer)) == (
        "<s>質問: a\n回答: b</s>質問: c\n回答: "
    )
