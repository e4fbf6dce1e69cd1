"""Which tokens of an example are trained. One code path for preview, trainer and serving.

A token is trained where its characters touch a span that is learnt, so one that straddles the end of the prompt is
trained. The stop token is trained. Spans come from the template, never from a search for tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.text.chat import Chat
from services.text.encoding import Encoded, encode, encodings_of, leading_ids
from services.text.problems import Problem, ProblemError
from services.text.rows import Conversation, Example, Labeled, Message, Pair, Plain, Preference
from services.text.shapes import Span
from services.text.template import Template, marker_turns, prompt_ids


@dataclass(frozen=True)
class Rendered:
    """An example as the model sees it."""

    input_ids: list[int]
    trained: list[bool]
    """Whether the token is learnt, one for each of input_ids."""
    pieces: list[str]
    """The token's characters, one for each of input_ids; "" where several tokens share one character."""
    dropped_tokens: int
    """Tokens beyond max_length, cut off at the end."""

    @property
    def trained_tokens(self) -> int:
        """Tokens that count in the loss; nothing predicts the first."""
        return sum(self.trained[1:])

    def marked(self) -> str:
        """The text with ⟦…⟧ around what is trained, for people."""
        text, inside = "", False
        for piece, trained in zip(self.pieces, self.trained, strict=True):
            text += ("⟦" if trained else "⟧") if trained != inside else ""
            text, inside = text + piece, trained
        return text + ("⟧" if inside else "")


class _Segment(NamedTuple):
    """A text that is encoded at once, what of it is learnt, and whether the stop token is put behind."""

    text: str
    spans: list[Span]
    stop: bool
    learnt_stop: bool = True


def render(example: Example, template: Template, tokenizer: Any, max_length: int) -> Rendered:
    """Renders one example under a bound template. Raises ProblemError where the template refuses it, and for examples
    that another objective than supervised fine-tuning learns from."""
    return render_all([example], template, tokenizer, max_length)[0]


def render_all(examples: Sequence[Example], template: Template, tokenizer: Any, max_length: int) -> list[Rendered]:
    """The same for many; tokenised together, which is faster."""
    segments = parts_of(examples, template, tokenizer)
    special = template.kind == "chat"
    texts = [segment.text for group in segments for segment in group]
    encoded = iter(encode(texts, tokenizer, special=special))
    leading = [] if special else leading_ids(tokenizer)
    return [_assemble(group, encoded, leading, tokenizer, max_length) for group in segments]


class Count(NamedTuple):
    """How many tokens an example has, and how many of them count in the loss."""

    tokens: int
    trained: int


def count_all(examples: Sequence[Example], template: Template, tokenizer: Any) -> list[Count]:
    """What `render_all` would make, counted only: at about the speed of the tokenizer itself."""
    groups = parts_of(examples, template, tokenizer)
    special = template.kind == "chat"
    texts = [segment.text for group in groups for segment in group]
    encodings = iter(encodings_of(texts, tokenizer, special=special))
    leading = 0 if special else len(leading_ids(tokenizer))
    return [_count(group, encodings, leading) for group in groups]


def parts_of(examples: Iterable[Example], template: Template, tokenizer: Any) -> list[list[_Segment]]:
    """Examples up to where the tokenizer is needed. Raises ProblemError where the template refuses one."""
    chat = Chat(template.chat_template, tokenizer) if template.kind == "chat" else None
    end = str(tokenizer.eos_token)
    return [_segments(example, template, chat, end) for example in examples]


def differs_when_served(example: Example, template: Template, tokenizer: Any) -> bool:
    """Whether the prompt alone, as serving encodes it, has other tokens than the prompt in training.

    It has where a token straddles prompt and answer, or where the chat template opens answers with more than it keeps
    of them (such as <think>). The model then answers from a start that it was not trained on.
    """
    whole = render(example, template, tokenizer, 2**30)
    if isinstance(example, Plain) or True not in whole.trained:
        return False
    turns = list(example.messages[:-1]) if isinstance(example, Conversation) else [Message("user", example.prompt)]
    start = prompt_ids(template, turns, "", tokenizer)
    return whole.input_ids[: len(start)] != start


def _segments(example: Example, template: Template, chat: Chat | None, end: str) -> list[_Segment]:
    if isinstance(example, (Preference, Labeled)):
        raise ProblemError(_other_objective(example))
    only_last = isinstance(example, Conversation) and example.only_last
    if chat is not None:
        return [_chat_segment(_turns(example), template, chat, only_last=only_last)]
    if isinstance(example, Plain) or template.markers is None:
        text = example.completion.removesuffix(end)
        return [_Segment(text, [(0, len(text))], stop=True)]
    turns = _turns(example)
    texts = [text.removesuffix(end) for text in marker_turns(turns, template.markers)]
    answers = [turn.content.removesuffix(end) for turn in turns if turn.role == "assistant"]
    whole = template.train_on == "all" and not only_last
    segments = [
        _Segment(text, [(0 if whole else len(text) - len(answer), len(text))], stop=True)
        for text, answer in zip(texts, answers, strict=True)
    ]
    if only_last:
        segments[:-1] = [segment._replace(spans=[], learnt_stop=False) for segment in segments[:-1]]
    return segments


def _turns(example: Conversation | Pair | Plain) -> list[Message]:
    if isinstance(example, Conversation):
        return list(example.messages)
    prompt = [Message("user", example.prompt)] if isinstance(example, Pair) else []
    return [*prompt, Message("assistant", example.completion)]


def _chat_segment(turns: Sequence[Message], template: Template, chat: Chat, *, only_last: bool) -> _Segment:
    text, spans = chat.render_spans(turns)
    ended = text.endswith(template.stop, *spans[-1]) if spans else True
    open_end = not ended and not text[spans[-1][1] :].strip()
    if open_end:  # the template writes no stop token; serving needs one
        text = text[: spans[-1][1]]
    if only_last:
        spans = spans[-1:]
    elif template.train_on == "all":
        spans = [(0, len(text))]
    return _Segment(text, spans, stop=open_end)


def _assemble(
    segments: Sequence[_Segment], encoded: Iterator[Encoded], leading: list[int], tokenizer: Any, max_length: int
) -> Rendered:
    ids = list(leading)
    trained = [False] * len(leading)
    pieces = [str(tokenizer.decode([token])) for token in leading]
    for segment in segments:
        tokens = next(encoded)
        ids += tokens.ids
        trained += _touching(tokens.offsets, segment.spans)
        pieces += _pieces(segment.text, tokens.offsets)
        if segment.stop:
            ids.append(tokenizer.eos_token_id)
            trained.append(segment.learnt_stop)
            pieces.append(str(tokenizer.eos_token))
    dropped = max(0, len(ids) - max_length)
    return Rendered(ids[:max_length], trained[:max_length], pieces[:max_length], dropped)


def _count(segments: Sequence[_Segment], encodings: Iterator[Any], leading: int) -> Count:
    tokens, trained = leading, 0
    for segment in segments:
        encoding = next(encodings)
        found = len(encoding)
        learnt, first = _learnt(encoding, found, segment)
        # Nothing predicts the first token of all.
        trained += learnt - (first and tokens == 0) + (segment.stop and segment.learnt_stop)
        tokens += found + segment.stop
    return Count(tokens, trained)


def _learnt(encoding: Any, tokens: int, segment: _Segment) -> tuple[int, bool]:
    """How many tokens of a segment are learnt, and whether the first is one of them."""
    learnt, upto, first = 0, 0, False
    for span in segment.spans:
        touched = _touched(encoding, tokens, span, len(segment.text))
        if touched is None or touched.start < upto:
            touching = _touching(encoding.offsets, segment.spans)
            return sum(touching), touching[:1] == [True]
        learnt, upto, first = learnt + len(touched), touched.stop, first or touched.start == 0
    return learnt, first


def _touched(encoding: Any, tokens: int, span: Span, characters: int) -> range | None:
    """The tokens that share a character with a span, from its ends alone: all offsets take as long as the tokenizer.
    None where the ends do not tell."""
    start, end = span
    first = 0 if start == 0 else encoding.char_to_token(start)
    after = tokens if end == characters else encoding.char_to_token(end)
    if first is None or after is None or first >= after:
        return None
    if after < tokens:
        after += encoding.token_to_chars(after)[0] < end  # it straddles the end
        if encoding.token_to_chars(after - 1)[0] >= end:  # a token without characters
            return None
    return range(first, after)


def _touching(offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[bool]:
    """For each token whether it shares a character with a span; one without characters, whether it lies in one."""
    return [any(max(start, s) < min(max(end, start + 1), e) for s, e in spans) for start, end in offsets]


def _pieces(text: str, offsets: Sequence[tuple[int, int]]) -> list[str]:
    """The characters of each token, each character once, in order."""
    pieces: list[str] = []
    shown = 0
    for _, end in offsets:
        pieces.append(text[shown : max(shown, end)])
        shown = max(shown, end)
    return pieces


def _other_objective(example: Preference | Labeled) -> Problem:
    fields, objective = ("chosen and rejected", "dpo") if isinstance(example, Preference) else ("label", "kto")
    en = f"rows with {fields} are for the objective {objective}; sft needs one answer a prompt, such as prompt and completion"
    ja = (
        f"{fields.replace(' and ', ' と ')} を持つ行は学習目的 {objective} 用です。"
        "sft にはプロンプトごとに 1 つの応答（prompt と completion など）が必要です"
    )
    return Problem("OBJECTIVE_MISMATCH", "objective", en, ja)
