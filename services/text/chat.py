"""Conversations rendered by a model's chat template, and where the assistant's turns lie in the text.

Spans come from {% generation %} marks, else, for families that we know, from what the template itself puts around
the contents; never from a search in text that a user wrote. transformers is imported where something is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.text.problems import Problem, ProblemError
from services.text.rows import Message
from services.text.special_tokens import SpecialTokens, special_tokens

Span = tuple[int, int]
_GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")

_LEFT_OUT = {
    "system": (
        "SYSTEM_MESSAGE_DROPPED",
        "the system message",
        " system メッセージ",
        "write its text into the first user message, remove it, or take a model whose template has one",
        "最初の user メッセージに含めるか、取り除くか、system に対応したモデルを選んでください",
    ),
    "tool": (
        "TOOL_TURN_DROPPED",
        "turns of tools",
        "ツールの発話",
        "write what the tool said into the next user message, remove the row, or take a model whose template has them",
        "ツールの結果を user メッセージに含めるか、行を取り除くか、ツールに対応したモデルを選んでください",
    ),
}
"""Roles that templates may not have: reason, what is left out, and what to do, in both languages."""


@dataclass(frozen=True)
class Family:
    """Templates without marks whose answers we can find."""

    name: str
    signature: tuple[str, ...]
    """Strings that a template of the family holds, all of them."""
    header: str = ""
    """What opens an answer where it is not what the template adds for add_generation_prompt."""


FAMILIES = (
    Family("Llama 3", ("<|start_header_id|>", "<|eot_id|>")),
    Family("ChatML", ("<|im_start|>", "<|im_end|>")),
    Family("Gemma", ("<start_of_turn>", "<end_of_turn>")),
    Family("DeepSeek-R1", ("<｜Assistant｜>",), "<｜Assistant｜>"),
    Family("sarashina", ("<|user|>", "<|assistant|>"), "<|assistant|>"),
    Family("Llama 2", ("[INST]", "[/INST]"), "[/INST]"),
    Family("llm-jp, StableLM-JA", ("### 応答:",), "### 応答:"),
    Family("calm2", ("USER: ", "ASSISTANT: "), "ASSISTANT: "),
)


def render(messages: Sequence[Message], chat_template: str, tokenizer: Any, *, generation: bool = False) -> str:
    """The conversation's text; with `generation` up to where the assistant's next turn begins."""
    return _render(messages, chat_template, tokenizer, add_generation_prompt=generation)[0]


def render_spans(messages: Sequence[Message], chat_template: str, tokenizer: Any) -> tuple[str, list[Span]]:
    """The conversation's text and the assistant's turns in it, each with its stop token where one follows.

    Raises ProblemError where the template is neither marked nor of a known family, or leaves something out that the
    answers rest on.
    """
    if _GENERATION_MARK.search(chat_template):
        text, spans = _render(messages, chat_template, tokenizer, return_assistant_tokens_mask=True)
        _check_shown(messages, [message.content.strip() for message in messages], text)
    else:
        text, spans = _known_spans(messages, chat_template, tokenizer)
    special = special_tokens(tokenizer)
    return text, [(start, _with_stop(text, start, end, special)) for start, end in spans]


def _with_stop(text: str, start: int, end: int, special: SpecialTokens) -> int:
    """The span's end, moved past a stop token that follows directly and is not in the span yet."""
    inside = [match.end() for match in special.any.finditer(text, start, end)]
    if inside and not text[inside[-1] : end].strip():
        return inside[-1]
    following = special.end_of_text.match(text, end) or special.any.match(text, end)
    return following.end() if following else end


def _render(messages: Sequence[Message], chat_template: str, tokenizer: Any, **options: bool) -> tuple[str, list[Span]]:
    from jinja2.exceptions import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    turns = [{"role": message.role, "content": message.content} for message in messages]
    tokens = _tokens(tokenizer, chat_template)
    try:
        texts, spans = render_jinja_template([turns], chat_template=chat_template, **options, **tokens)
    except TemplateError as error:
        raise ProblemError(
            Problem(
                "TEMPLATE_REFUSED_ROW",
                "messages",
                f"the model's chat template refuses the conversation: {error}",
                f"モデルのチャットテンプレートがこの会話を受け付けません: {error}",
            )
        ) from error
    return texts[0], [(start, end) for start, end in spans[0]] if spans else []


def _tokens(tokenizer: Any, chat_template: str) -> dict[str, Any]:
    """Those that the template may ask for: each given one is copied for every conversation."""
    return {name: token for name, token in tokenizer.special_tokens_map.items() if name in chat_template}


def _known_spans(messages: Sequence[Message], chat_template: str, tokenizer: Any) -> tuple[str, list[Span]]:
    family = next((f for f in FAMILIES if all(part in chat_template for part in f.signature)), None)
    if family is None:
        raise ProblemError(_unknown_template())
    text = render(messages, chat_template, tokenizer)
    contents, frame = _frame(messages, chat_template, tokenizer, text)
    opening = render(messages, chat_template, tokenizer, generation=True)
    headers = (opening.removeprefix(text) if opening.startswith(text) else "", family.header)
    return text, _spans(messages, contents, frame, [header for header in headers if header])


def _frame(messages: Sequence[Message], chat_template: str, tokenizer: Any, text: str) -> tuple[list[str], list[str]]:
    """The contents as the template shows them, and the pieces of its own text around them."""
    stand_ins = [f"\uf8ff{index}\uf8ff" for index in range(len(messages))]
    probe = render(
        [Message(m.role, mark) for m, mark in zip(messages, stand_ins, strict=True)], chat_template, tokenizer
    )
    _check_shown(messages, stand_ins, probe)
    frame = re.split("\uf8ff\\d+\uf8ff", probe)
    for contents in ([m.content for m in messages], [m.content.strip() for m in messages]):
        pieces = [piece for pair in zip(frame, [*contents, ""], strict=False) for piece in pair]
        if len(frame) == len(messages) + 1 and "".join(pieces) == text:
            return contents, frame
    raise ProblemError(
        Problem(
            "TEMPLATE_NOT_MARKED",
            "messages",
            "the model's chat template changes the contents, so that answers cannot be told apart; add"
            " {% generation %} marks around the assistant's turns to its chat_template",
            "モデルのチャットテンプレートが本文を書き換えるため、応答の範囲を特定できません。chat_template の"
            "応答部分を {% generation %} で囲んでください",
        )
    )


def _check_shown(messages: Sequence[Message], contents: Sequence[str], text: str) -> None:
    """Refuses what a template left out; `contents` are what `text` holds of messages that it did not."""
    for index, (message, content) in enumerate(zip(messages, contents, strict=True)):
        if message.role in _LEFT_OUT and content not in text:
            reason, what, what_ja, remedy, remedy_ja = _LEFT_OUT[message.role]
            en = f"the model's chat template leaves {what} out, so that the row would be trained without it; {remedy}"
            ja = f"モデルのチャットテンプレートが{what_ja}を無視するため、その内容なしで学習されてしまいます。{remedy_ja}"
            raise ProblemError(Problem(reason, f"messages[{index}]", en, ja))


def _spans(messages: Sequence[Message], contents: list[str], frame: list[str], headers: Sequence[str]) -> list[Span]:
    spans: list[Span] = []
    position = 0
    for message, content, before in zip(messages, contents, frame, strict=False):
        position += len(before)
        if message.role == "assistant":
            header = next((header for header in headers if header in before), None)
            if header is None:
                raise ProblemError(_unknown_template())
            opened = position - len(before) + before.rfind(header) + len(header)
            spans.append((opened, position + len(content)))
        position += len(content)
    return spans


def _unknown_template() -> Problem:
    return Problem(
        "TEMPLATE_NOT_MARKED",
        "chat_template",
        "the model's chat template has no {% generation %} marks and is of no family that we know; add the marks"
        " around the assistant's turns, or give the rows as text with markers such as 質問 / 回答",
        "モデルのチャットテンプレートに {% generation %} の印がなく、既知の系列でもありません。応答部分を印で囲むか、"
        "「質問:／回答:」のような目印のある text 形式のデータを使ってください",
    )
