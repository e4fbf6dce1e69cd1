"""aift data prepare: a new version out of an old one, or a new file out of an old one."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from aift.cli import session
from aift.cli.data_display import render_preparation, render_preparation_preview
from aift.cli.data_progress import followed
from aift.cli.local_preparation import prepare_file
from aift.cli.output import Json, print_json, show
from aift.data.v1 import data_pb2
from aift.errors import AiftError, invalid
from aift.jsonform import as_json
from aift.language import text
from aift.reading import BAD_ROWS, ENCODINGS, FORMS, Reading, columns_of
from aift.recipe import NORMALIZATIONS, REDACTIONS, recipe_of

_PANEL = text("What is done, in this order", "処理(この順に行います)")
_FILE_PANEL = text("File to file, without a service", "ファイルからファイルへ(サービスなし)")

_STEPS: Final[dict[str, tuple[str, Any, str]]] = {
    "recipe": (
        "--recipe",
        Path | None,
        text("YAML with the steps; options win.", "処理を書いた YAML。オプションが優先されます。"),
    ),
    "chunk": (
        "--chunk",
        str | None,
        text("Cut long texts: CHARACTERS[:OVERLAP], such as 1000:100.", "長文の分割: 文字数[:重なり](例: 1000:100)。"),
    ),
    "to": ("--to", str | None, text("Convert to the form: ", "変換後の行の形式: ") + ", ".join(FORMS)),
    "normalize": ("--normalize", str | None, text("Characters: ", "文字の正規化: ") + ", ".join(NORMALIZATIONS)),
    "redact": (
        "--redact",
        list[str] | None,
        text("Personal data to replace, with commas or repeated: ", "伏せる個人情報(カンマ区切り、繰り返し可): ")
        + ", ".join(REDACTIONS),
    ),
    "min_characters": ("--min-characters", int | None, text("Drop shorter rows.", "これより短い行を除外。")),
    "max_characters": ("--max-characters", int | None, text("Drop longer rows.", "これより長い行を除外。")),
    "drop_patterns": (
        "--drop-pattern",
        list[str] | None,
        text("Drop rows that match; repeat it.", "正規表現に一致する行を除外(繰り返し可)。"),
    ),
    "keep_patterns": (
        "--keep-pattern",
        list[str] | None,
        text("Keep only rows that match; repeat it.", "正規表現に一致する行だけ残す(繰り返し可)。"),
    ),
    "dedupe": ("--dedupe", str | None, text("Drop repetitions: exact, near[=0.9].", "重複の除去: exact、near[=0.9]。")),
    "split": (
        "--split",
        list[str] | None,
        text("Hold rows out: validation=0.05,test=0.05.", "検証・テスト用に分割: validation=0.05,test=0.05。"),
    ),
    "salt": ("--salt", str | None, text("Another one splits differently.", "別の値にすると分割が変わります。")),
}


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "prepare",
        help=text(
            "Clean, convert, split: a version (datasets/x) into a new version, or a file into a file.",
            "前処理: バージョン(datasets/x)から新しいバージョン、またはファイルからファイルを作ります。",
        ),
    )(_with_steps(prepare))


def prepare(
    *,
    steps: dict[str, Any],
    source: Annotated[
        str | None,
        typer.Argument(
            help=text(
                "datasets/x, datasets/x/versions/n, or a file", "datasets/x、datasets/x/versions/n、ファイルのいずれか"
            )
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", help=text("Gets the version; default: the same.", "追加先。省略時は同じデータセット。")
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help=text("Only show rows before and after.", "処理前後の行を表示するだけ。")),
    ] = False,
    offset: Annotated[
        int | None, typer.Option("--offset", min=0, help=text("--dry-run: first row (0).", "--dry-run の最初の行(0)。"))
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, max=1000, help=text("--dry-run: rows (100).", "--dry-run の行数(100)。")),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            "--input_file",
            "--input-file",
            rich_help_panel=_FILE_PANEL,
            help=text("The file.", "入力ファイル。"),
        ),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "--output_file",
            "--output-file",
            rich_help_panel=_FILE_PANEL,
            help=text("JSONL to write.", "書き出す JSONL。"),
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            rich_help_panel=_FILE_PANEL,
            help=text("Of the input; default: detected.", "入力の形式。省略時は自動判定。"),
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding",
            rich_help_panel=_FILE_PANEL,
            help=text("Of the input: ", "入力の文字コード: ") + ", ".join(ENCODINGS),
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            rich_help_panel=_FILE_PANEL,
            help=text(
                "FIELD=COLUMN: which column holds a field. Repeat it.", "項目=列名: 項目の入った列(繰り返し可)。"
            ),
        ),
    ] = None,
    bad_rows: Annotated[
        str | None,
        typer.Option(
            "--bad-rows",
            rich_help_panel=_FILE_PANEL,
            help=text("What becomes of rows with errors: ", "問題のある行: ") + ", ".join(BAD_ROWS),
        ),
    ] = None,
    validate: Annotated[
        bool,
        typer.Option("--validate", rich_help_panel=_FILE_PANEL, help=text("Check the result.", "結果を検証します。")),
    ] = False,
    json: Json = False,
) -> None:
    recipe = recipe_of(steps.pop("recipe"), **steps)
    path = input_file or _as_path(source)
    of_versions = dataset is not None or dry_run or offset is not None or limit is not None
    if path is not None and of_versions:
        en = "--dataset, --dry-run, --offset and --limit are for versions; a file becomes a file. Upload it first."
        ja = (
            "--dataset、--dry-run、--offset、--limit はバージョン用です。ファイルからはファイルができます。"
            "先にアップロードしてください。"
        )
        raise invalid("--dataset" if dataset is not None else "--dry-run", "USAGE", en, ja)
    if path is not None:
        reading = Reading(format=format_, encoding=encoding, columns=columns_of(columns or []), bad_rows=bad_rows)
        prepare_file(path, output_file, recipe, reading, validate=validate, json_form=json)
    elif source is None:
        raise invalid(
            "source", "MISSING", "Name datasets/x or a file.", "datasets/x またはファイルを指定してください。"
        )
    elif output_file or validate or format_ or encoding or columns or bad_rows:
        en = "--output, --format, --encoding, --column, --bad-rows and --validate are for files; a version becomes one."
        ja = (
            "--output、--format、--encoding、--column、--bad-rows、--validate はファイル用です。"
            "バージョンからは新しいバージョンができます。"
        )
        raise invalid("--output", "USAGE", en, ja)
    elif dry_run:
        with session.client() as client:
            seen = client.datasets.preview_preparation(source, recipe, offset=offset or 0, limit=limit or 100)
            show(seen, render_preparation_preview, json_form=json)
    elif offset is not None or limit is not None:
        en, ja = "--offset and --limit are for --dry-run.", "--offset と --limit は --dry-run 用です。"
        raise invalid("--offset" if offset is not None else "--limit", "USAGE", en, ja)
    else:
        _prepare_version(source, recipe, dataset, json_form=json)


def _prepare_version(source: str, recipe: data_pb2.Recipe, dataset: str | None, *, json_form: bool) -> None:
    with session.client() as client:
        job = client.datasets.start_preparation(source, recipe, dataset=dataset)
        done = followed(client, job, json_form=json_form)
    if json_form:
        print_json(as_json(done))
    else:
        render_preparation(done)


def _as_path(source: str | None) -> Path | None:
    """The file that is meant, or None for the name of a data set. Raises AiftError FILE_NOT_FOUND."""
    if source is None or source.startswith("datasets/"):
        return None
    path = Path(source).expanduser()
    if path.exists():
        return path
    if "." in source or "/" in source.replace("/versions/", ""):
        raise _no_file(path)
    return None


def _no_file(path: Path) -> AiftError:
    return invalid("source", "FILE_NOT_FOUND", f"There is no file {path}.", f"ファイル {path} がありません。")


def _with_steps(command: Callable[..., None]) -> Callable[..., None]:
    """The command with one more option a step; it gets them as its argument `steps`."""
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "steps"]
    extra = [_option(name) for name in _STEPS]

    def run(**arguments: Any) -> None:
        steps = {name: arguments.pop(name, None) for name in _STEPS}
        command(**arguments, steps=steps)

    run.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *extra]}
    return run


def _option(name: str) -> inspect.Parameter:
    flag, kind, help_text = _STEPS[name]
    declaration = typer.Option(flag, help=help_text, rich_help_panel=_PANEL)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, declaration]
    )
