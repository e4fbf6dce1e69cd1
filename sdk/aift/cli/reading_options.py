"""The options that say how a file of rows is to be read, on `aift data upload`, `validate` and `import`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer

from aift.language import text
from aift.reading import BAD_ROWS, ENCODINGS, FORMATS, FORMS, TOOL_TURNS, TRAIN_ON, Reading, columns_of

_PANEL = text("How rows are read (default: detected)", "読み取り方(省略時は自動判定)")


def _words(en: str, ja: str, choices: Mapping[str, object]) -> str:
    return text(en, ja) + ": " + ", ".join(choices)


_OPTIONS: Final[dict[str, tuple[str, Any, str]]] = {
    "form": ("--form", str | None, _words("Form of the rows", "行の形式", FORMS)),
    "train_on": ("--train-on", str | None, _words("What is trained", "学習する部分", TRAIN_ON)),
    "format": ("--format", str | None, _words("How rows are written", "ファイル形式", FORMATS)),
    "encoding": ("--encoding", str | None, _words("How characters are written", "文字コード", ENCODINGS)),
    "columns": (
        "--column",
        list[str] | None,
        text(
            "FIELD=COLUMN: the column that holds a field, such as instruction=質問. Repeat it.",
            "項目=列名: 項目の入った列(例: instruction=質問)。繰り返し指定できます。",
        ),
    ),
    "bad_rows": ("--bad-rows", str | None, _words("What becomes of rows with errors", "問題のある行", BAD_ROWS)),
    "tool_turns": ("--tool-turns", str | None, _words("What becomes of turns of tools", "ツールの発話", TOOL_TURNS)),
}


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options; it gets those given as its argument `reading`."""
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "reading"
    ]
    extra = [_option(name) for name in _OPTIONS]

    def run(**arguments: Any) -> None:
        given: Any = {name: arguments.pop(name, None) for name in _OPTIONS}
        given["columns"] = columns_of(given["columns"] or [])
        reading: Reading = given
        command(**arguments, reading=reading)

    run.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *extra]}
    return run


def _option(name: str) -> inspect.Parameter:
    flag, kind, help_text = _OPTIONS[name]
    declaration = typer.Option(flag, help=help_text, rich_help_panel=_PANEL)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, declaration]
    )
