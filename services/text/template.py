"""How rows become text for a model, and prompts likewise: stored as JSON, it travels with the model version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from services.text.chat import Chat
from services.text.encoding import encode, leading_ids
from services.text.markers import Markers, find_markers
from services.text.problems import Problem, ProblemError
from services.text.rows import Form, Message
from services.text.special_tokens import special_tokens

Kind = Literal["markers", "chat", "plain"]
TrainOn = Literal["completion", "all"]
# For rows with instruction or messages where the model has no chat template; as llm-jp and StableLM-JA write it.
FALLBACK = Markers("### 指示:\n", "\n\n### 応答:\n")


class TemplateError(ProblemError):
    """The template cannot be read, or does not fit the model or the prompt."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """How prompts and completions are put into text."""

    kind: Kind
    """markers: `prompt_marker` prompt `completion_marker` completion; chat: the model's chat template; plain: as is."""
    form: Form = Form.TEXT
    """The form of the rows."""
    train_on: TrainOn = "completion"
    """completion: the answers with their stop tokens; all: everything."""
    prompt_marker: str = ""
    """Before the prompt, white space included, such as "質問: "; kind markers only."""
    completion_marker: str = ""
    """Between prompt and completion, line breaks included, such as "\\n回答: "; kind markers only."""
    chat_template: str = ""
    """Jinja; kind chat only. Empty until `bind` has taken it from a model."""
    stop: tuple[str, ...] = ()
    """Tokens that end an answer, as text. Empty until `bind`."""

    @property
    def markers(self) -> Markers | None:
        """The pair of markers; None for another kind."""
        return Markers(self.prompt_marker, self.completion_marker) if self.kind == "markers" else None

    def to_json(self) -> str:
        """One line of JSON with sorted keys."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)


def parse_template(text: str) -> Template:
    """Reads what `to_json` wrote; empty text means the model's own chat template. Raises TemplateError."""
    if not text:
        return Template(kind="chat", form=Form.MESSAGES)
    try:
        fields = json.loads(text)
        template = Template(**{**fields, "form": Form(fields["form"]), "stop": tuple(fields.get("stop", ()))})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(str(error)) from error
    if template.kind not in ("markers", "chat", "plain") or template.train_on not in ("completion", "all"):
        raise _unreadable(f"kind {template.kind!r}, train_on {template.train_on!r}")
    return template


def for_rows(form: Form, markers: Markers | None, train_on: TrainOn | None = None) -> Template:
    """The template of rows, before a model is known. `train_on` None: the completion where there is one, else all."""
    if form is not Form.TEXT:
        return Template(kind="chat", form=form, train_on=train_on or "completion")
    if markers is None:
        return Template(kind="plain", form=form, train_on="all")
    return Template(
        kind="markers",
        form=form,
        train_on=train_on or "completion",
        prompt_marker=markers.prompt,
        completion_marker=markers.completion,
    )


def for_version(form: str, train_on: str, prompt_marker: str, completion_marker: str) -> Template:
    """The template of a data set's version, before a model is known.

    Args:
        form: name of a `Form`, such as "TEXT".
        train_on: "COMPLETION" or "ALL"; anything else lets the form decide.
        prompt_marker: before the prompt in TEXT rows.
        completion_marker: before the completion in TEXT rows; empty where they have no markers.
    """
    markers = Markers(prompt_marker, completion_marker) if completion_marker else None
    chosen: dict[str, TrainOn] = {"COMPLETION": "completion", "ALL": "all"}
    return for_rows(Form[form], markers, chosen.get(train_on))


def bind(template: Template, tokenizer: Any) -> Template:
    """The template for a model: chat template and stop tokens filled in. Raises TemplateError.

    Rows of instruction or messages take the marker pair 指示 / 応答 where the model has no chat template.
    """
    if not tokenizer.is_fast:
        raise _no_offsets()
    if template.kind == "chat" and not (template.chat_template or tokenizer.chat_template):
        template = replace(
            template, kind="markers", prompt_marker=FALLBACK.prompt, completion_marker=FALLBACK.completion
        )
    if template.kind != "chat":
        return replace(template, stop=(_end_of_text(tokenizer),))
    jinja = template.chat_template or str(tokenizer.chat_template)
    try:
        text, spans = Chat(jinja, tokenizer).render_spans([Message("user", "問"), Message("assistant", "答")])
    except ProblemError as error:
        raise TemplateError(*error.problems) from error
    tail = text[slice(*spans[-1])].rstrip() if spans else ""
    stops = [match.group() for match in special_tokens(tokenizer).any.finditer(tail)]
    stop = stops[-1] if stops and tail.endswith(stops[-1]) else _end_of_text(tokenizer)
    return replace(template, chat_template=jinja, stop=(stop,))


def render_prompt(template: Template, prompt: str | Sequence[Message], tokenizer: Any, system: str = "") -> str:
    """The text that a model continues with its answer. Raises TemplateError.

    A prompt that already carries the template's markers is not wrapped twice.
    """
    turns = [Message("user", prompt)] if isinstance(prompt, str) else list(prompt)
    turns = [Message("system", system), *turns] if system else turns
    if template.kind == "chat":
        jinja = template.chat_template or tokenizer.chat_template
        return _chat_prompt(turns, str(jinja), tokenizer) if jinja else _joined(turns)
    markers = template.markers
    return _joined(turns) if markers is None else marker_turns(turns, markers)[-1]


def prompt_ids(template: Template | None, prompt: str | Sequence[Message], system: str, tokenizer: Any) -> list[int]:
    """Tokens of the prompt, as training saw them; without a template the prompt as it is. Raises TemplateError."""
    if template is None:
        text = _joined([Message("user", prompt)] if isinstance(prompt, str) else prompt)
        return _with_leading(encode([text], tokenizer, special=True)[0].ids, tokenizer)
    if template.kind == "chat" and (template.chat_template or tokenizer.chat_template):
        return encode([render_prompt(template, prompt, tokenizer, system)], tokenizer, special=True)[0].ids
    if template.markers is None or isinstance(prompt, str):
        text = render_prompt(template, prompt, tokenizer, system)
        return _with_leading(encode([text], tokenizer)[0].ids, tokenizer)
    turns = [Message("system", system), *prompt] if system else list(prompt)
    parts = encode(marker_turns(turns, template.markers), tokenizer)
    ends = [tokenizer.eos_token_id]
    ids = [token for part in parts[:-1] for token in [*part.ids, *ends]] + parts[-1].ids
    return _with_leading(ids, tokenizer)


def marker_turns(messages: Sequence[Message], markers: Markers) -> list[str]:
    """One text for each exchange; the last is open where no answer follows. A system message opens the first.

    Raises TemplateError for turns of tools, which markers have no place for.
    """
    texts: list[str] = []
    opening = ""
    for message in messages:
        if message.role == "system":
            opening = f"{message.content}\n\n"
        elif message.role == "user":
            texts.append(f"{opening}{markers.prompt}{_unwrapped(message.content, markers)}{markers.completion}")
            opening = ""
        elif message.role == "tool":
            raise _no_tools()
        else:
            texts[-1] += message.content
    return texts


def _unwrapped(prompt: str, markers: Markers) -> str:
    """The prompt without the markers that somebody already put around it."""
    known = find_markers(prompt)
    if known is not None and not known.completion.strip() and known.markers.label == markers.label:
        return known.prompt
    return prompt


def _chat_prompt(turns: Sequence[Message], jinja: str, tokenizer: Any) -> str:
    try:
        return Chat(jinja, tokenizer).render(turns, generation=True)
    except ProblemError as error:
        raise TemplateError(*error.problems) from error


def _joined(turns: Sequence[Message]) -> str:
    return "\n\n".join(message.content for message in turns)


def _with_leading(ids: list[int], tokenizer: Any) -> list[int]:
    """With the tokens that the tokenizer puts in front, once."""
    leading = leading_ids(tokenizer)
    return ids if leading and ids[: len(leading)] == leading else leading + ids


def _end_of_text(tokenizer: Any) -> str:
    if tokenizer.eos_token is None:
        raise TemplateError(
            Problem(
                "NO_STOP_TOKEN",
                "eos_token",
                "the model's tokenizer has no eos_token, so that answers could not end; set one in tokenizer_config.json",
                "モデルのトークナイザーに eos_token がないため、応答を終わらせられません。tokenizer_config.json で指定してください",
            )
        )
    return str(tokenizer.eos_token)


def _no_offsets() -> TemplateError:
    return TemplateError(
        Problem(
            "TOKENIZER_WITHOUT_OFFSETS",
            "tokenizer",
            "the model has no tokenizer.json, so that tokens cannot be traced to characters; convert its tokenizer",
            "モデルに tokenizer.json がなく、トークンと文字の対応が取れません。トークナイザーを変換してください",
        )
    )


def _no_tools() -> TemplateError:
    en = "turns of tools need a model with a chat template; this one has only markers around prompt and answer"
    ja = "ツールの発話にはチャットテンプレートを持つモデルが必要です（このモデルにはプロンプトと応答の目印しかありません）"
    return TemplateError(Problem("TOOL_TURNS_WITHOUT_TEMPLATE", "messages", en, ja))


def _unreadable(detail: str) -> TemplateError:
    en, ja = f"the template cannot be read: {detail}", f"テンプレートを読めません: {detail}"
    return TemplateError(Problem("TEMPLATE_UNREADABLE", "template", en, ja))
