"""aift data …: files in, checked, looked at, prepared, out again."""

from pathlib import Path
from typing import Annotated

import typer

from aift.cli import data_intake, data_jobs, data_looks, data_prepare, session
from aift.cli.data_looks import Version
from aift.cli.output import Json, Yes, confirm, notes, out, print_json
from aift.cli.transfers import TransferBars
from aift.datasets import FILES
from aift.errors import invalid
from aift.jsonform import as_json
from aift.language import text

app = typer.Typer(no_args_is_help=True, help=text("Data sets.", "データセット。"))
data_intake.add_to(app)
data_prepare.add_to(app)
data_looks.add_to(app)
data_jobs.add_to(app)


@app.command(help=text("Fetch a version's file.", "バージョンのファイルを取得します。"))
def download(
    name: Version,
    target: Annotated[Path, typer.Argument(help=text("File or folder.", "ファイルまたはフォルダ。"))] = Path(),
    file: Annotated[
        str, typer.Option("--file", help=text("Which one: ", "取得するもの: ") + ", ".join(FILES))
    ] = "original",
    json: Json = False,
) -> None:
    with session.client() as client, TransferBars(quiet=json) as bars:
        path = client.datasets.download(name, target, file=file, on_progress=bars.tell)
    if json:
        print_json({"path": str(path)})
    else:
        out().print(str(path), markup=False)


@app.command(help=text("Change what a data set is called.", "データセットの表示名・説明を変更します。"))
def update(
    name: Annotated[str, typer.Argument(help="datasets/x")],
    display_name: Annotated[str | None, typer.Option("--display-name", help=text("For people.", "表示名。"))] = None,
    description: Annotated[str | None, typer.Option("--description", help=text("What is in it.", "説明。"))] = None,
    json: Json = False,
) -> None:
    if display_name is None and description is None:
        en, ja = "Give --display-name or --description.", "--display-name か --description を指定してください。"
        raise invalid("--display-name", "USAGE", en, ja)
    with session.client() as client:
        found = client.datasets.update(name, display_name=display_name, description=description)
    if json:
        print_json(as_json(found))
    else:
        out().print(found.name, markup=False)


@app.command(help=text("Delete a data set or one version.", "データセットまたはバージョンを削除します。"))
def delete(
    name: Version,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help=text("Although something depends on it (aift data references).", "依存があっても削除します。"),
        ),
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    confirm(name, yes=yes or json)
    with session.client() as client:
        client.datasets.delete(name, force=force)
    if json:
        print_json({"deleted": name})
    else:
        notes().print(text(f"Deleted: {name}", f"削除しました: {name}"), markup=False)
