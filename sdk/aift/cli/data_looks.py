"""aift data list, show, preview, report, tokens, diff, references: what is there."""

from itertools import islice
from typing import Annotated

import grpc
import typer

from aift.cli import session
from aift.cli.data_display import render_diff, render_rows, render_supervision, render_tokens, render_version
from aift.cli.output import Json, Limit, at, facts, in_bytes, out, print_json, show, show_list
from aift.cli.report import render_report
from aift.cli.transfers import TransferBars
from aift.errors import AiftError, invalid
from aift.jsonform import as_json
from aift.language import text

Version = Annotated[str, typer.Argument(help="datasets/x/versions/n, datasets/x")]
BaseModel = Annotated[
    str | None, typer.Option("--base-model", help=text("baseModels/x, such as tiny-ja.", "baseModels/x(例: tiny-ja)。"))
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("list", help=text("Data sets, newest first.", "データセットの一覧(新しい順)。"))(list_datasets)
    app.command(
        "show", help=text("A data set with its versions, or one version.", "データセットとそのバージョンを表示します。")
    )(show_dataset)
    app.command(
        "preview",
        help=text(
            "Rows, with what the model is shown and what it learns; --supervision: which tokens are trained.",
            "行の内容(見せる部分と学習する部分)。--supervision で学習されるトークンを表示します。",
        ),
    )(preview)
    app.command(
        "report",
        help=text(
            "What validation found (of a version or dataJobs/…).",
            "検証結果(バージョンまたは dataJobs/…)を表示します。",
        ),
    )(report)
    app.command(
        "tokens",
        help=text("Lengths in tokens of a base model.", "ベースモデルのトークンで数えた長さ。"),
    )(tokens)
    app.command("diff", help=text("What differs between two versions.", "2 つのバージョンの差分。"))(diff)
    app.command("references", help=text("What depends on it.", "これに依存しているもの。"))(references)


def list_datasets(limit: Limit = 50, json: Json = False) -> None:
    with session.client() as client:
        show_list(
            islice(client.datasets.list(), limit),
            (
                text("name", "名前"),
                text("display name", "表示名"),
                text("newest version", "最新バージョン"),
                text("changed", "更新"),
            ),
            lambda d: (d.name, d.display_name, d.latest_version.rpartition("/")[2], at(d.update_time)),
            json_form=json,
        )


def show_dataset(name: Version, json: Json = False) -> None:
    with session.client() as client:
        if "/versions/" in name:
            show(client.datasets.version(name), render_version, json_form=json)
            return
        found = client.datasets.get(name)
        versions = list(client.datasets.versions(found.name))
    if json:
        print_json(as_json(found) | {"versions": [as_json(version) for version in versions]})
        return
    facts(
        [
            (text("name", "名前"), found.name),
            (text("display name", "表示名"), found.display_name),
            (text("description", "説明"), found.description),
        ]
    )
    show_list(
        versions,
        (
            text("version", "バージョン"),
            text("rows", "行"),
            text("size", "サイズ"),
            text("file", "ファイル"),
            text("from", "元"),
            text("made", "作成"),
        ),
        lambda v: (
            v.name,
            f"{v.statistics.rows:,}",
            in_bytes(v.size_bytes),
            v.filename,
            v.parent or v.source,
            at(v.create_time),
        ),
        json_form=False,
    )


def preview(
    name: Version,
    offset: Annotated[int, typer.Option("--offset", min=0, help=text("First row.", "最初の行。"))] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help=text("Rows.", "行数。"))] = 5,
    supervision: Annotated[
        bool,
        typer.Option(
            "--supervision",
            help=text(
                "The tokens, trained ones in colour or between ⟦⟧; at most 50 rows.",
                "トークン表示(学習対象は色または ⟦⟧)。最大 50 行。",
            ),
        ),
    ] = False,
    base_model: BaseModel = None,
    max_length: Annotated[
        int, typer.Option("--max-length", min=1, help=text("Longest sequence, in tokens.", "最大トークン長。"))
    ] = 512,
    json: Json = False,
) -> None:
    with session.client() as client:
        if not supervision:
            show(client.datasets.preview(name, offset=offset, limit=limit), render_rows, json_form=json)
            return
        found = client.datasets.preview_supervision(
            name, _needed(base_model), offset=offset, limit=limit, max_length=max_length
        )
        show(found, render_supervision, json_form=json)


def report(name: Version, json: Json = False) -> None:
    with session.client() as client:
        show(client.datasets.report(name), lambda found: render_report(found, out()), json_form=json)


def tokens(name: Version, base_model: BaseModel = None, json: Json = False) -> None:
    model = _needed(base_model)
    with session.client() as client:
        try:
            counted = client.datasets.token_statistics(name, model)
        except AiftError as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                raise
            with TransferBars(quiet=json) as bars:
                counted = client.datasets.count_tokens(name, model, on_progress=bars.tell)
        show(counted, render_tokens, json_form=json)


def diff(
    base: Annotated[str, typer.Argument(help=text("The older version", "比較元のバージョン"))],
    name: Annotated[str, typer.Argument(help=text("The newer version", "比較先のバージョン"))],
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100, help=text("Rows of each kind.", "種類ごとの行数。"))
    ] = 20,
    json: Json = False,
) -> None:
    with session.client() as client:
        show(client.datasets.diff(base, name, limit=limit), render_diff, json_form=json)


def references(name: Version, limit: Limit = 50, json: Json = False) -> None:
    with session.client() as client:
        show_list(
            islice(client.datasets.references(name), limit),
            (text("version", "バージョン"), text("depends on it", "依存元"), text("since", "開始")),
            lambda r: (r.dataset_version, r.referrer, at(r.create_time)),
            json_form=json,
        )


def _needed(base_model: str | None) -> str:
    if base_model:
        return base_model
    en, ja = "Name the base model: --base-model tiny-ja", "ベースモデルを指定してください: --base-model tiny-ja"
    raise invalid("--base-model", "MISSING", en, ja)
