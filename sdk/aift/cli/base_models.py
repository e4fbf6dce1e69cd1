"""aift base-models …: models to train from."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

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
    out,
    print_json,
    show,
    show_list,
    word,
)
from aift.cli.transfers import TransferBars
from aift.language import localized, text
from aift.registry.v1 import registry_pb2

app = typer.Typer(no_args_is_help=True, help=text("Base models.", "ベースモデル。"))

Name = Annotated[str, typer.Argument(help="baseModels/x")]


@app.command("list", help=text("Base models, newest first.", "ベースモデルの一覧(新しい順)。"))
def list_base_models(limit: Limit = 50, json: Json = False) -> None:
    with session.client() as client:
        show_list(
            islice(client.base_models.list(), limit),
            (
                text("name", "名前"),
                text("state", "状態"),
                text("parameters", "パラメータ数"),
                text("licence", "ライセンス"),
                "Hub",
            ),
            lambda m: (m.name, _state(m), f"{m.shape.parameters:,}", m.licence, m.hub_id),
            json_form=json,
        )


@app.command("show", help=text("One base model.", "ベースモデルの詳細。"))
def show_base_model(name: Name, json: Json = False) -> None:
    with session.client() as client:
        show(client.base_models.get(name), _render, json_form=json)


@app.command(
    "import",
    help=text(
        "Take a model in, from a folder or from the Hugging Face Hub.",
        "フォルダまたは Hugging Face Hub から取り込みます。",
    ),
)
def import_base_model(
    source: Annotated[
        str,
        typer.Argument(
            help=text(
                "Folder, or Hub id such as elyza/Llama-3-ELYZA-JP-8B.",
                "フォルダ、または Hub の ID(例: elyza/Llama-3-ELYZA-JP-8B)。",
            )
        ),
    ],
    base_model_id: Annotated[
        str,
        typer.Option(
            "--id",
            help=text(
                "Its id here; default: by folder or Hub id.", "ここでの ID。省略時はフォルダ名または Hub の ID から。"
            ),
        ),
    ] = "",
    revision: Annotated[
        str, typer.Option("--revision", help=text("Hub branch, tag or commit.", "Hub のブランチ・タグ・コミット。"))
    ] = "",
    display_name: Annotated[str, typer.Option("--display-name", help=text("For people.", "表示名。"))] = "",
    json: Json = False,
) -> None:
    with session.client() as client:
        with TransferBars(quiet=json) as bars:
            if Path(source).is_dir() or source.startswith((".", "/", "~")):
                made = client.base_models.import_dir(
                    source, base_model_id=base_model_id, display_name=display_name, on_progress=bars.tell
                )
            else:
                made = client.base_models.import_hub(
                    source,
                    revision=revision,
                    base_model_id=base_model_id,
                    display_name=display_name,
                    on_progress=bars.tell,
                )
        show(made, lambda m: out().print(m.name, markup=False), json_form=json)


@app.command(help=text("Delete a base model (administrators).", "ベースモデルを削除します(管理者のみ)。"))
def delete(name: Name, yes: Yes = False, json: Json = False) -> None:
    confirm(name, yes=yes or json)
    with session.client() as client:
        client.base_models.delete(name)
    if json:
        print_json({"deleted": name})


def _state(model: registry_pb2.BaseModel) -> str:
    return word(registry_pb2.BaseModelState.Name(model.state), "BASE_MODEL_STATE_")


def _render(model: registry_pb2.BaseModel) -> None:
    recommended = " ".join(f"{name}={brief(value)}" for name, value in MessageToDict(model.recommended).items())
    facts(
        [
            (text("name", "名前"), model.name),
            (text("display name", "表示名"), model.display_name),
            (text("state", "状態"), _state(model)),
            (
                text("failure", "失敗の理由"),
                f"{model.failure.reason}: {localized(model.failure.message)}" if model.failure.reason else "",
            ),
            ("Hub", f"{model.hub_id} @ {model.hub_revision}" if model.hub_id else ""),
            (text("architecture", "アーキテクチャ"), model.shape.architecture),
            (text("parameters", "パラメータ数"), f"{model.shape.parameters:,}"),
            (text("context", "最大長"), f"{model.shape.max_context_tokens:,} tokens"),
            (text("licence", "ライセンス"), model.licence),
            (text("recommended", "推奨設定"), recommended),
            (text("size", "サイズ"), in_bytes(sum(entry.size_bytes for entry in model.files))),
            (text("digest", "ダイジェスト"), model.digest),
            (text("made", "作成"), at(model.create_time)),
        ]
    )
