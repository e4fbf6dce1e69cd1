"""aift models …: trained models."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.text import Text
from rich.tree import Tree

from aift.cli import session
from aift.cli.output import (
    Json,
    Limit,
    Yes,
    at,
    brief,
    confirm,
    facts,
    in_bytes,
    measurements,
    out,
    print_json,
    show,
    show_list,
    word,
)
from aift.cli.transfers import TransferBars
from aift.jsonform import as_json
from aift.language import text
from aift.registry.v1 import registry_pb2

app = typer.Typer(no_args_is_help=True, help=text("Trained models.", "学習済みモデル。"))

Name = Annotated[str, typer.Argument(help="models/x, models/x/versions/n, models/x@alias")]


@app.command("list", help=text("Models, newest first.", "モデルの一覧(新しい順)。"))
def list_models(limit: Limit = 50, json: Json = False) -> None:
    with session.client() as client:
        show_list(
            islice(client.models.list(), limit),
            (
                text("name", "名前"),
                text("display name", "表示名"),
                text("newest version", "最新バージョン"),
                text("aliases", "エイリアス"),
                text("changed", "更新"),
            ),
            lambda m: (m.name, m.display_name, m.latest_version.rpartition("/")[2], _aliases(m), at(m.update_time)),
            json_form=json,
        )


@app.command("show", help=text("A model with its versions, or one version.", "モデルとそのバージョンを表示します。"))
def show_model(name: Name, json: Json = False) -> None:
    with session.client() as client:
        if "/versions/" in name or "@" in name:
            show(client.models.version(name), _render_version, json_form=json)
            return
        model = client.models.get(name)
        versions = list(client.models.versions(model.name))
        if json:
            print_json(as_json(model) | {"versions": [as_json(version) for version in versions]})
            return
        facts(
            [
                (text("name", "名前"), model.name),
                (text("display name", "表示名"), model.display_name),
                (text("description", "説明"), model.description),
                (text("aliases", "エイリアス"), _aliases(model)),
            ]
        )
        show_list(
            versions,
            (
                text("version", "バージョン"),
                text("kind", "種類"),
                text("base model", "ベースモデル"),
                text("data", "データ"),
                text("made", "作成"),
            ),
            lambda v: (v.name, _kind(v), v.base_model, v.dataset_version, at(v.create_time)),
            json_form=False,
        )


@app.command(
    help=text(
        "Point an alias to a version; without a version, its history.",
        "エイリアスを設定します。バージョン省略時は履歴を表示します。",
    )
)
def alias(
    model: Annotated[str, typer.Argument(help="models/x")],
    alias_name: Annotated[str, typer.Argument(metavar="ALIAS", help=text("Such as production.", "例: production"))],
    version: Annotated[str | None, typer.Argument(help=text("Number or whole name.", "番号または名前。"))] = None,
    delete_it: Annotated[
        bool, typer.Option("--delete", help=text("Remove the alias.", "エイリアスを外します。"))
    ] = False,
    json: Json = False,
) -> None:
    with session.client() as client:
        if delete_it:
            client.models.delete_alias(model, alias_name)
            if json:
                print_json({"deleted": f"{model}@{alias_name}"})
        elif version:
            moved = client.models.set_alias(model, alias_name, version)
            show(moved, lambda a: out().print(f"{a.name} → {a.model_version}", markup=False), json_form=json)
        else:
            show_list(
                client.models.alias_history(model, alias_name),
                (text("time", "日時"), text("version", "バージョン"), text("by", "変更者")),
                lambda c: (at(c.time), c.model_version or text("(removed)", "(解除)"), c.principal),
                json_form=json,
            )


@app.command(
    help=text("What it was made from, and what was made from it.", "何から作られ、何に使われたかを表示します。")
)
def lineage(name: Name, json: Json = False) -> None:
    with session.client() as client:
        show(client.models.lineage(name), _render_lineage, json_form=json)


@app.command(help=text("Write a version's files into a folder.", "バージョンのファイルをフォルダに保存します。"))
def download(
    name: Name, directory: Annotated[Path, typer.Argument(help=text("Folder.", "フォルダ。"))], json: Json = False
) -> None:
    with session.client() as client, TransferBars(quiet=json) as bars:
        path = client.models.download(name, directory, on_progress=bars.tell)
    if json:
        print_json({"path": str(path)})
    else:
        out().print(str(path), markup=False)


@app.command(
    "import",
    help=text(
        "Take a folder in as a version (PEFT or transformers).", "フォルダ(PEFT・transformers 形式)を取り込みます。"
    ),
)
def import_model(
    directory: Annotated[Path, typer.Argument(help=text("Folder.", "フォルダ。"))],
    model: Annotated[
        str | None,
        typer.Option("--model", help=text("models/x; default: the folder's name.", "models/x。省略時はフォルダ名。")),
    ] = None,
    base_model: Annotated[
        str | None, typer.Option("--base-model", help=text("Of an adapter.", "アダプターのベースモデル。"))
    ] = None,
    json: Json = False,
) -> None:
    with session.client() as client:
        with TransferBars(quiet=json) as bars:
            version = client.models.import_dir(directory, model=model, base_model=base_model, on_progress=bars.tell)
        show(version, lambda v: out().print(v.name, markup=False), json_form=json)


@app.command(help=text("Delete a model or one version.", "モデルまたはバージョンを削除します。"))
def delete(name: Name, yes: Yes = False, json: Json = False) -> None:
    confirm(name, yes=yes or json)
    with session.client() as client:
        client.models.delete(name)
    if json:
        print_json({"deleted": name})


def _aliases(model: registry_pb2.Model) -> str:
    return " ".join(
        f"{entry.name.rpartition('@')[2]}→{entry.model_version.rpartition('/')[2]}" for entry in model.aliases
    )


def _kind(version: registry_pb2.ModelVersion) -> str:
    return word(registry_pb2.ModelKind.Name(version.kind), "MODEL_KIND_")


def _render_version(version: registry_pb2.ModelVersion) -> None:
    settings = MessageToDict(version.hyperparameters)
    facts(
        [
            (text("name", "名前"), version.name),
            (text("aliases", "エイリアス"), " ".join(version.aliases)),
            (text("kind", "種類"), _kind(version)),
            (text("base model", "ベースモデル"), version.base_model),
            (text("data", "データ"), version.dataset_version),
            (text("job", "ジョブ"), version.training_job),
            (text("metrics", "評価値"), measurements(version.metrics)),
            (text("settings", "設定"), " ".join(f"{k}={brief(v)}" for k, v in settings.items())),
            (text("licence", "ライセンス"), version.licence),
            (text("size", "サイズ"), in_bytes(sum(entry.size_bytes for entry in version.files))),
            (text("digest", "ダイジェスト"), version.digest),
            (text("made", "作成"), at(version.create_time)),
        ]
    )


def _render_lineage(found: registry_pb2.Lineage) -> None:
    tree = Tree(Text(found.name, style="bold"))
    for title, forward in ((text("made from", "元になったもの"), False), (text("made into", "作られたもの"), True)):
        branch = Tree(Text(title))
        _grow(branch, found, found.name, forward, {found.name})
        if branch.children:
            tree.add(branch)
    out().print(tree)


def _grow(branch: Tree, found: registry_pb2.Lineage, name: str, forward: bool, seen: set[str]) -> None:
    for edge in found.edges:
        source, target = getattr(edge, "from"), edge.to
        here, there = (source, target) if forward else (target, source)
        if here == name and there not in seen:
            _grow(branch.add(Text(there)), found, there, forward, seen | {there})
