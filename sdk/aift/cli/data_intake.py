"""aift data upload, validate, import, drop: files on their way in."""

import shlex
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import grpc
import typer

from aift.cli import session
from aift.cli.data_progress import followed, send
from aift.cli.output import Json, Limit, at, in_bytes, notes, out, print_json, show_list
from aift.cli.reading_options import with_reading
from aift.cli.report import render_report
from aift.client import Client
from aift.data.v1 import data_pb2
from aift.errors import AiftError, invalid
from aift.jsonform import as_json
from aift.language import text
from aift.names import slug, stem
from aift.reading import Reading

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
DisplayName = Annotated[
    str, typer.Option("--display-name", help=text("Of a new data set, for people.", "新しいデータセットの表示名。"))
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(
        "upload",
        help=text(
            "Send files, check them, and keep each as a version.",
            "ファイルを送信・検証し、バージョンとして保存します。",
        ),
    )(with_reading(upload))
    app.command(
        "validate",
        help=text(
            "Check a file, or an upload again in another form.",
            "ファイル、または送信済みのもの(uploads/…)を検証します。",
        ),
    )(with_reading(validate))
    app.command(
        "import",
        help=text(
            "Let the server fetch a file: from its drop directory, a URL, S3 or the Hub.",
            "サーバー側のフォルダ・URL・S3・Hub から取り込みます。",
        ),
    )(with_reading(import_data))
    app.command(
        "drop",
        help=text(
            "What lies in the server's drop directory, to be taken by `import --drop`.",
            "サーバー側の受け取りフォルダにあるもの(`import --drop` で取り込めます)。",
        ),
    )(list_dropped)


def upload(
    *,
    reading: Reading,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help=text(
                "JSONL, JSON, CSV, TSV, Parquet or text; also .gz, .zst",
                "JSONL・JSON・CSV・TSV・Parquet・テキスト。.gz と .zst も可",
            ),
        ),
    ],
    dataset: Into = None,
    display_name: DisplayName = "",
    resume: Annotated[
        str | None,
        typer.Option("--resume", help=text("Go on with an upload (uploads/…).", "中断した送信(uploads/…)を続けます。")),
    ] = None,
    json: Json = False,
) -> None:
    if resume and len(files) > 1:
        en = "--resume goes on with one file."
        raise invalid("--resume", "USAGE", en, "--resume で続けられるのは 1 つのファイルです。")
    with session.client() as client:
        versions = []
        for number, file in enumerate(files):
            try:
                name = stem(file.name)
                receiver, new = dataset or slug(name), display_name or name
                _refuse_wrong_name(client, receiver)
                sent = send(client, file, resume=resume, json_form=json)
                versions.append(_check(client, receiver, sent.name, reading, new=new, json_form=json))
            except AiftError:
                _tell_rest(file, files[number + 1 :])
                raise
            if display_name:
                _tell_display_name(client, receiver, display_name)
    if json:
        print_json(as_json(versions[0]) if len(files) == 1 else [as_json(version) for version in versions])


def _refuse_wrong_name(client: Client, dataset: str) -> None:
    """Asks for the data set before the file is sent to it, since a long file is sent in vain where its id is none."""
    try:
        if dataset:
            client.datasets.get(dataset)
    except AiftError as error:
        if error.code is not grpc.StatusCode.NOT_FOUND:
            raise


def _tell_rest(file: Path, rest: Sequence[Path]) -> None:
    """Says which of several files was refused, and which were not sent therefore."""
    if rest:
        names = ", ".join(str(path) for path in rest)
        en, ja = f"{file} was refused. Not sent: {names}", f"{file} で止まりました。未送信: {names}"
        notes().print(text(en, ja), markup=False)


def _tell_display_name(client: Client, dataset: str, wanted: str) -> None:
    """Says that a data set that was there before keeps its name."""
    found = client.datasets.get(dataset)
    if found.display_name != wanted:
        again = f"aift data update {found.name} --display-name {shlex.quote(wanted)}"
        en = f"{found.name} was there before and is still called {found.display_name!r}. Call it otherwise: {again}"
        ja = f"{found.name} は既にあり、表示名は {found.display_name!r} のままです。変更するには: {again}"
        notes().print(text(en, ja), markup=False)


def validate(
    *,
    reading: Reading,
    source: Annotated[str, typer.Argument(help=text("A file, or uploads/…", "ファイルまたは uploads/…"))],
    dataset: Into = None,
    json: Json = False,
) -> None:
    with session.client() as client:
        is_upload = source.startswith("uploads/")
        sent = client.uploads.get(source) if is_upload else send(client, Path(source), json_form=json)
        name = stem(sent.filename)
        version = _check(client, dataset or slug(name), sent.name, reading, new=name, json_form=json)
    if json:
        print_json(as_json(version))


def import_data(
    *,
    reading: Reading,
    drop: Annotated[
        str | None,
        typer.Option("--drop", help=text("A name that `aift data drop` lists.", "`aift data drop` に出る名前。")),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help=text("https://…, of an allowed host.", "https://…(許可されたホスト)。")),
    ] = None,
    s3: Annotated[str | None, typer.Option("--s3", help="s3://bucket/key")] = None,
    hub: Annotated[
        str | None,
        typer.Option("--hub", metavar="ID[@REVISION]", help=text("A data set of the Hub.", "Hub のデータセット。")),
    ] = None,
    hub_path: Annotated[str, typer.Option("--hub-path", help=text("The file in it.", "その中のファイル。"))] = "",
    dataset: Into = None,
    json: Json = False,
) -> None:
    if sum(source is not None for source in (drop, url, s3, hub)) != 1:
        en = "Name one source: --drop, --url, --s3 or --hub."
        raise invalid(
            "source", "USAGE", en, "取り込み元を 1 つ指定してください: --drop、--url、--s3、--hub のいずれか。"
        )
    if hub_path and not hub:
        en, ja = "--hub-path names a file of --hub.", "--hub-path は --hub の中のファイルを指定します。"
        raise invalid("--hub-path", "USAGE", en, ja)
    hub_id, _, revision = (hub or "").partition("@")
    with session.client() as client:
        name = stem((drop or url or s3 or hub_id).partition("?")[0])
        receiver = dataset or slug(name)
        wanted = data_pb2.HubDataset(id=hub_id, revision=revision, path=hub_path) if hub else None
        job = client.datasets.start_import(
            receiver, new=name, dropped_file=drop, url=url, s3_uri=s3, hub=wanted, **reading
        )
        version = _version_of(client, job, json_form=json)
    if json:
        print_json(as_json(version))


def list_dropped(limit: Limit = 50, json: Json = False) -> None:
    with session.client() as client:
        show_list(
            islice(client.datasets.dropped_files(), limit),
            (
                text("name", "名前"),
                text("size", "サイズ"),
                text("files", "ファイル数"),
                text("changed", "更新"),
                text("state", "状態"),
            ),
            lambda f: (
                f.name,
                in_bytes(f.size_bytes),
                f"{f.files:,}",
                at(f.update_time),
                text("ready", "取り込み可") if f.settled else text("being written", "書き込み中"),
            ),
            json_form=json,
        )


def _check(
    client: Client, dataset: str, upload_name: str, reading: Reading, *, new: str, json_form: bool
) -> data_pb2.DatasetVersion:
    job = client.datasets.validate(dataset, upload_name, new=new, **reading)
    try:
        return _version_of(client, job, json_form=json_form)
    except AiftError as error:
        if error.reason == "DATA_INVALID" and not json_form:
            again = f"aift data validate {upload_name} --dataset {job.dataset.removeprefix('datasets/')} …"
            notes().print(
                text(
                    f"Check it in another way without sending it again: {again}",
                    f"送信し直さずに別の設定で検証: {again}",
                ),
                markup=False,
            )
        raise


def _version_of(client: Client, job: data_pb2.DataJob, *, json_form: bool) -> data_pb2.DatasetVersion:
    done = followed(client, job, json_form=json_form)
    version = client.datasets.version(done.dataset_version)
    if not json_form:
        render_report(client.datasets.report(done.name), notes())
        out().print(version.name, markup=False)
    return version
