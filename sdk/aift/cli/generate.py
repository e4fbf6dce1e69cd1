"""aift generate: a model's answer, as it comes."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aift.cli import session
from aift.cli.output import Json, notes, print_json
from aift.client import Client
from aift.errors import invalid
from aift.generation import SamplingOptions
from aift.inference.v1 import inference_pb2
from aift.jsonform import as_json
from aift.language import text
from aift.names import model_name


def generate(
    model: Annotated[str, typer.Argument(help="models/x, models/x/versions/n, models/x@alias, baseModels/x")],
    prompt: Annotated[str | None, typer.Argument(help=text("Default: standard input.", "省略時は標準入力。"))] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", help=text("0 to 2; 0 is always the same (0.7).", "0〜2。0 は常に同じ出力(0.7)。")
        ),
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help=text("Above 0, up to 1 (0.9).", "0 より大きく 1 以下(0.9)。"))
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help=text("0 means all (0).", "0 はすべて(0)。"))] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens",
            "--max-length",
            help=text(
                "Longest answer in tokens; 50 to 200 suit most (100).", "生成する最大トークン数。50〜200 が目安(100)。"
            ),
        ),
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option("--repetition-penalty", help=text("0.5 to 2 (1.1).", "0.5〜2(1.1)。"))
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", help=text("End before this; repeatable.", "この文字列の前で終了。複数指定可。")),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help=text("For the same answer again.", "同じ出力を再現するための値。"))
    ] = None,
    system: Annotated[str, typer.Option("--system", help=text("System prompt.", "システムプロンプト。"))] = "",
    raw: Annotated[
        bool, typer.Option("--raw", help=text("Without the model's template.", "モデルのテンプレートを使いません。"))
    ] = False,
    base_and_tuned: Annotated[
        bool,
        typer.Option(
            "--base-and-tuned",
            help=text("The base model's answer beside it.", "ベースモデルの回答と並べて表示します。"),
        ),
    ] = False,
    json: Json = False,
) -> None:
    question = _prompt(prompt)
    options = SamplingOptions(
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
        stop=stop or [],
        seed=seed,
    )
    with session.client() as client:
        asked = _Asked(client, question, raw=raw, system=system, options=options)
        if base_and_tuned:
            _compare(asked, model, json_form=json)
        elif json:
            print_json(as_json(asked.whole(model)))
        else:
            _stream(asked, model)


class _Asked:
    """One question with its options, for one model or several."""

    def __init__(self, client: Client, prompt: str, *, raw: bool, system: str, options: SamplingOptions) -> None:
        self.client = client
        self._prompt = prompt
        self._raw = raw
        self._system = system
        self._options = options

    def whole(self, model: str) -> inference_pb2.GenerateResponse:
        """The answer in one piece."""
        return self.client.generate(model, self._prompt, raw=self._raw, system=self._system, **self._options)

    def pieces(self, model: str) -> Iterator[inference_pb2.GenerateStreamResponse]:
        """The answer as it comes."""
        return self.client.generate_stream(model, self._prompt, raw=self._raw, system=self._system, **self._options)


def _prompt(given: str | None) -> str:
    prompt = sys.stdin.read() if given is None or given == "-" else given
    if prompt.strip():
        return prompt
    raise invalid("prompt", "PROMPT_EMPTY", "The prompt is empty.", "プロンプトが空です。")


def _stream(asked: _Asked, model: str) -> None:
    usage = inference_pb2.Usage()
    for message in asked.pieces(model):
        sys.stdout.write(message.text)
        sys.stdout.flush()
        if message.finish_reason:
            usage = message.usage
    sys.stdout.write("\n")
    if usage.total_seconds:
        speed = usage.completion_tokens / usage.total_seconds
        notes().print(
            text(
                f"{usage.completion_tokens} tokens, {speed:.0f} tok/s",
                f"{usage.completion_tokens} トークン、{speed:.0f} トークン/秒",
            ),
            style="dim",
        )


def _compare(asked: _Asked, model: str, *, json_form: bool) -> None:
    if model_name(model).startswith("baseModels/"):
        raise invalid("model", "NOT_A_TUNED_MODEL", f"{model} is a base model itself.", f"{model} はベースモデルです。")
    version = asked.client.models.version(model_name(model))
    if json_form:
        with ThreadPoolExecutor(2) as pool:
            base, tuned = pool.map(asked.whole, (version.base_model, version.name))
        print_json({"base": as_json(base), "tuned": as_json(tuned)})
        return
    answers = {version.base_model: "", version.name: ""}

    def collect(name: str) -> None:
        for message in asked.pieces(name):
            answers[name] += message.text

    live = Live(get_renderable=lambda: _side_by_side(answers), console=Console(), refresh_per_second=10)
    with live, ThreadPoolExecutor(2) as pool:
        list(pool.map(collect, answers))


def _side_by_side(answers: dict[str, str]) -> Table:
    grid = Table.grid(expand=True)
    for _ in answers:
        grid.add_column(ratio=1)
    grid.add_row(*(Panel(Text(answer), title=escape(name), title_align="left") for name, answer in answers.items()))
    return grid
