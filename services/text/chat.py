"""Conversations rendered by a model's chat template, and where the assistant's turns lie in the text.

Spans come from {% generation %} marks, else, for families that we know, from what the template itself puts around
the contents; never from a search in text that a user wrote. The template runs once for all conversations with the same
roles where it does not look at what they say, else for each. transformers is imported where something is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.text.problems import Problem, ProblemError
from services.text.rows import Message, Role
from services.text.shapes import Answer, Piece, Shape, Span, Turn, headed, marked, turns_in, written
from services.text.special_tokens import special_tokens

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


class Chat:
    """A chat template with its tokenizer, for one batch of conversations: what it remembers of them may rest on the day."""

    def __init__(self, template: str, tokenizer: Any) -> None:
        self._template = template
        # Those that the template may ask for: each given one is copied for every conversation.
        self._tokens = {name: token for name, token in tokenizer.special_tokens_map.items() if name in template}
        self._special = special_tokens(tokenizer)
        self._marked = _GENERATION_MARK.search(template) is not None
        self._family = next((f for f in FAMILIES if all(part in template for part in f.signature)), None)
        self._shapes: dict[tuple[Role, ...], Shape | None] = {}
        self._frames: dict[tuple[Role, ...], Shape] = {}

    def render(self, messages: Sequence[Message], *, generation: bool = False) -> str:
        """The conversation's text; with `generation` up to where the assistant's next turn begins."""
        return self._render(messages, add_generation_prompt=generation)[0]

    def render_spans(self, messages: Sequence[Message]) -> tuple[str, list[Span]]:
        """The conversation's text and the assistant's turns in it, each with its stop token where one follows.

        Raises ProblemError where the template is neither marked nor of a known family, or leaves something out that the
        answers rest on.
        """
        contents = [message.content for message in messages]
        shape = self._shape(tuple([message.role for message in messages]))
        if shape is not None and all(map(str.strip, contents)):
            text, spans = shape.filled(contents)
        elif self._marked:
            text, spans = self._render(messages, return_assistant_tokens_mask=True)
            _check_shown(messages, [content.strip() for content in contents], text)
        else:
            text, spans = self._known_spans(messages)
        return text, [(start, self._with_stop(text, start, end)) for start, end in spans]

    def _with_stop(self, text: str, start: int, end: int) -> int:
        """The span's end, moved past a stop token that follows directly and is not in the span yet."""
        inside = [match.end() for match in self._special.any.finditer(text, start, end)]
        if inside and not text[inside[-1] : end].strip():
            return inside[-1]
        following = self._special.end_of_text.match(text, end) or self._special.any.match(text, end)
        return following.end() if following else end

    def _render(self, messages: Sequence[Message], **options: bool) -> tuple[str, list[Span]]:
        from jinja2.exceptions import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            texts, spans = render_jinja_template([turns], chat_template=self._template, **options, **self._tokens)
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

    def _shape(self, roles: tuple[Role, ...]) -> Shape | None:
        """The shape of conversations with these roles; None where the template is to run for each."""
        if roles not in self._shapes:
            self._shapes[roles] = self._marked_shape(roles) if self._marked else self._known_shape(roles)
        return self._shapes[roles]

    def _marked_shape(self, roles: tuple[Role, ...]) -> Shape | None:
        pieces = written(self._template, roles, self._tokens)
        if pieces is None or _left_out(roles, pieces):
            return None
        return marked(pieces)

    def _known_shape(self, roles: tuple[Role, ...]) -> Shape | None:
        pieces = written(self._template, roles, self._tokens)
        opening = written(self._template, roles, self._tokens, generation=True)
        if self._family is None or pieces is None or opening is None:
            return None
        text, opened = ("".join(map(str, one)) for one in (pieces, opening))
        return headed(pieces, roles, _headers(text, opened, self._family))

    def _known_spans(self, messages: Sequence[Message]) -> tuple[str, list[Span]]:
        if self._family is None:
            raise ProblemError(_unknown_template())
        text = self.render(messages)
        roles = tuple([message.role for message in messages])
        if roles not in self._frames:
            self._frames[roles] = self._frame(roles, self._family)
        for contents in ([m.content for m in messages], [m.content.strip() for m in messages]):
            filled = self._frames[roles].filled(contents)
            if filled[0] == text:
                return filled
        raise ProblemError(_changed_contents())

    def _frame(self, roles: Sequence[Role], family: Family) -> Shape:
        """The shape that the template has around other contents; these ones' text shows whether it is theirs."""
        stand_ins = [Message(role, f"\uf8ff{index}\uf8ff") for index, role in enumerate(roles)]
        probe = self.render(stand_ins)
        _check_shown(stand_ins, [message.content for message in stand_ins], probe)
        own = re.split("\uf8ff\\d+\uf8ff", probe)
        if len(own) != len(roles) + 1:
            raise ProblemError(_changed_contents())
        pieces = [piece for index, text in enumerate(own) for piece in (text, Turn(index))][:-1]
        shape = headed(pieces, roles, _headers(probe, self.render(stand_ins, generation=True), family))
        if shape is None:
            raise ProblemError(_unknown_template())
        return shape


def _left_out(roles: Sequence[Role], pieces: Sequence[Piece | Answer]) -> bool:
    """Whether the template does not write a turn that the answers rest on."""
    shown = turns_in(pieces)
    return any(role in _LEFT_OUT and index not in shown for index, role in enumerate(roles))


def _headers(text: str, opening: str, family: Family) -> list[str]:
    """What may open an answer; `opening` is the text up to where the next one begins."""
    headers = (opening.removeprefix(text) if opening.startswith(text) else "", family.header)
    return [header for header in headers if header]


def _check_shown(messages: Sequence[Message], contents: Sequence[str], text: str) -> None:
    """Refuses what a template left out; `contents` are what `text` holds of messages that it did not."""
    for index, (message, content) in enumerate(zip(messages, contents, strict=True)):
        if message.role in _LEFT_OUT and content not in text:
            reason, what, what_ja, remedy, remedy_ja = _LEFT_OUT[message.role]
            en = f"the model's chat template leaves {what} out, so that the row would be trained without it; {remedy}"
            ja = f"モデルのチャットテンプレートが{what_ja}を無視するため、その内容なしで学習されてしまいます。{remedy_ja}"
            raise ProblemError(Problem(reason, f"messages[{index}]", en, ja))


def _changed_contents() -> Problem:
    return Problem(
        "TEMPLATE_NOT_MARKED",
        "messages",
        "the model's chat template changes the contents, so that answers cannot be told apart; add"
        " {% generation %} marks around the assistant's turns to its chat_template",
        "モデルのチャットテンプレートが本文を書き換えるため、応答の範囲を特定できません。chat_template の"
        "応答部分を {% generation %} で囲んでください",
    )


def _unknown_template() -> Problem:
    return Problem(
        "TEMPLATE_NOT_MARKED",
        "chat_template",
        "the model's chat template has no {% generation %} marks and is of no family that we know; add the marks"
        " around the assistant's turns, or give the rows as text with markers such as 質問 / 回答",
        "モデルのチャットテンプレートに {% generation %} の印がなく、既知の系列でもありません。応答部分を印で囲むか、"
        "「質問:／回答:」のような目印のある text 形式のデータを使ってください",
    )
