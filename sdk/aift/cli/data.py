"""aift data …: files in, checked, looked at, out again."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from aift.cli import session
from aift.cli.output import (
    Json,
    Limit,
    Yes,
    at,
    confirm,
    facts,
    in_bytes,
    notes,
    out,
    print_json,
    show,
    show_list,
    word,
)
from aift.cli.report import render_report
from aift.cli.transfers import TransferBars
from aift.client import Client
from aift.data.v1 import data_pb2
from aift.datasets import FORMS, TRAIN_ON
from aift.jsonform import as_json
from aift.language import text
from aift.names import slug

app = typer.Typer(no_args_is_help=True, help=text("Data sets.", "データセット。"))

Dataset = Annotated[str, typer.Argument(help="datasets/x")]
Version = Annotated[str, typer.Argument(help="datasets/x/versions/n, datasets/x")]
Into = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help=text(
            "The data set that gets the version; default: by file name.",
            "追加先のデータセット。省略時はファイル名から。",
        ),
    ),
]
Form = Annotated[
    str | None,
    typer.Option(
        "--form",
        help=text("Rows' form: ", "行の形式: ") + ", ".join(FORMS) + text("; default: detect", "。省略時は自動判定"),
    ),
]
TrainOn = Annotated[
    str | None,
    typer.Option(
        "--train-on",
        help=text("What is trained: ", "学習する部分: ")
        + ", ".join(TRAIN_ON)
        + text("; default: by form", "。省略時は形式による"),
    ),
]


@app.command(
    help=text(
        "Send a file, check it, and keep it as a version.", "ファイルを送信・検証し、バージョンとして保存します。"
    )
)
def upload(
    file: Annotated[Path, typer.Argument(help="JSONL")],
    dataset: Into = None,
    display_name: Annotated[str, typer.Option("--display-name", help=text("For people.", "表示名。"))] = "",
    form: Form = None,
    train_on: TrainOn = None,
    resume: Annotated[
        str | None,
        typer.Option("--resume", help=text("Go on with an upload (uploads/…).", "中断した送信(uploads/…)を続けます。")),
    ] = None,
    json: Json = False,
) -> None:
    with session.client() as client:
        sent = send(client, file, resume=resume, json_form=json)
        name = dataset or slug(file.stem)
        owner = client.datasets.create_or_get(name, display_name=display_name or file.stem)
        _check(client, owner.name, sent.name, form, train_on, json_form=json)


@app.command(
    help=text(
        "Check a file, or an upload again in another form.", "ファイル、または送信済みのもの(uploads/…)を検証します。"
    )
)
def validate(
    source: Annotated[str, typer.Argument(help=text("A file, or uploads/…", "ファイルまたは uploads/…"))],
    dataset: Into = None,
    form: Form = None,
    train_on: TrainOn = None,
    json: Json = False,
) -> None:
    if not source.startswith("uploads/"):
        upload(Path(source), dataset=dataset, form=form, train_on=train_on, json=json)
        return
    with session.client() as client:
        sent = client.uploads.get(source)
        owner = client.datasets.create_or_get(dataset or slug(Path(sent.filename).stem))
        _check(client, owner.name, sent.name, form, train_on, json_form=json)


@app.command("list", help=text("Data sets, newest first.", "データセットの一覧(新しい順)。"))
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


@app.command(
    "show", help=text("A data set with its versions, or one version.", "データセットとそのバージョンを表示します。")
)
def show_dataset(name: Version, json: Json = False) -> None:
    with session.client() as client:
        if "/versions/" in name:
            show(client.datasets.version(name), _render_version, json_form=json)
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
                text("made", "作成"),
            ),
            lambda v: (v.name, f"{v.statistics.rows:,}", in_bytes(v.size_bytes), v.filename, at(v.create_time)),
            json_form=False,
        )


@app.command(
    help=text(
        "Rows, with what the model is shown and what it learns.",
        "行の内容(モデルに見せる部分と学習する部分)を表示します。",
    )
)
def preview(
    name: Version,
    offset: Annotated[int, typer.Option("--offset", min=0, help=text("First row.", "最初の行。"))] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help=text("Rows.", "行数。"))] = 5,
    json: Json = False,
) -> None:
    with session.client() as client:
        show(client.datasets.preview(name, offset=offset, limit=limit), _render_rows, json_form=json)


@app.command(
    help=text(
        "What validation found (of a version or dataJobs/…).", "検証結果(バージョンまたは dataJobs/…)を表示します。"
    )
)
def report(name: Version, json: Json = False) -> None:
    with session.client() as client:
        show(client.datasets.report(name), lambda found: render_report(found, out()), json_form=json)


@app.command(help=text("Fetch a version's file.", "バージョンのファイルを取得します。"))
def download(
    name: Version,
    target: Annotated[Path, typer.Argument(help=text("File or folder.", "ファイルまたはフォルダ。"))] = Path(),
    json: Json = False,
) -> None:
    with session.client() as client, TransferBars(quiet=json) as bars:
        path = client.datasets.download(name, target, on_progress=bars.tell)
    if json:
        print_json({"path": str(path)})
    else:
        out().print(str(path), markup=False)


@app.command(help=text("Delete a data set or one version.", "データセットまたはバージョンを削除します。"))
def delete(name: Version, yes: Yes = False, json: Json = False) -> None:
    confirm(name, yes=yes or json)
    with session.client() as client:
        client.datasets.delete(name)
    if json:
        print_json({"deleted": name})


def send(client: Client, file: Path, *, resume: str | None = None, json_form: bool) -> data_pb2.Upload:
    """Sends a file with a bar; when interrupted, says how to go on."""
    begun: list[data_pb2.Upload] = []
    try:
        with TransferBars(quiet=json_form) as bars:
            return client.uploads.send(file, resume=resume, on_progress=bars.tell, on_created=begun.append)
    except KeyboardInterrupt:
        if begun:
            again = f"aift data upload {file} --resume {begun[0].name}"
            notes().print(text(f"Interrupted. Go on with: {again}", f"中断しました。続けるには: {again}"), markup=False)
        raise


def _check(
    client: Client, dataset: str, upload_name: str, form: str | None, train_on: str | None, *, json_form: bool
) -> None:
    job = client.datasets.validate(dataset, upload_name, form=form, train_on=train_on)
    with TransferBars(quiet=json_form) as bars:
        done = client.datasets.wait(job.name, on_progress=bars.tell)
    version = client.datasets.version(done.dataset_version)
    if json_form:
        print_json(as_json(version))
        return
    render_report(client.datasets.report(done.name), notes())
    out().print(version.name, markup=False)


def _render_version(version: data_pb2.DatasetVersion) -> None:
    template = version.template
    facts(
        [
            (text("name", "名前"), version.name),
            (text("file", "ファイル"), version.filename),
            (text("rows", "行"), f"{version.statistics.rows:,}"),
            (text("size", "サイズ"), in_bytes(version.size_bytes)),
            (text("form", "形式"), word(data_pb2.RowForm.Name(template.form), "ROW_FORM_")),
            (text("trained", "学習する部分"), word(data_pb2.TrainOn.Name(template.train_on), "TRAIN_ON_")),
            ("SHA-256", version.sha256),
            (text("made", "作成"), at(version.create_time)),
        ]
    )


def _render_rows(page: data_pb2.PreviewRowsResponse) -> None:
    console = out()
    for row in page.rows:
        console.print(f"#{row.index} ({text('line', '行')} {row.line})", style="dim", markup=False)
        if row.prompt:
            console.print(row.prompt, markup=False)
        console.print(row.completion, style="green", markup=False)
    last = page.rows[-1].index + 1 if page.rows else 0
    notes().print(
        text(f"{last:,} of {page.total_rows:,} rows", f"{page.total_rows:,} 行中 {last:,} 行まで"), style="dim"
    )
