"""Models: versions, aliases, lineage, download; base models and their import."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import streamlit as st
from aift import Client
from aift.registry.v1 import registry_pb2

from frontend import wording
from frontend.session import localized, problems_shown, say, signed_in_client

# Larger models are fetched by the command line, which does not hold them in memory.
_MAX_DOWNLOAD_BYTES = 512 << 20


def show() -> None:
    """The page. The address names the model."""
    st.title(say("モデル管理", "Models"))
    tuned, bases = st.tabs([say("学習済みモデル", "Fine-tuned models"), say("ベースモデル", "Base models")])
    with tuned, problems_shown():
        _models(signed_in_client())
    with bases, problems_shown():
        _base_models(signed_in_client())


def _models(client: Client) -> None:
    models = list(client.models.list())
    if not models:
        st.page_link(
            "screens/finetune.py",
            label=say("まだありません。ファインチューニングへ", "None yet; fine-tune one"),
            icon=":material/tune:",
        )
        return
    names = [model.name for model in models]
    asked = st.query_params.get("model", "")
    chosen = st.selectbox(say("モデル", "Model"), names, index=names.index(asked) if asked in names else 0)
    st.query_params["model"] = chosen
    versions = list(client.models.versions(chosen))
    st.dataframe(
        [
            {
                "version": version.name.rpartition("/")[2],
                "kind": registry_pb2.ModelKind.Name(version.kind).removeprefix("MODEL_KIND_").lower(),
                "aliases": ", ".join(version.aliases),
                "base": version.base_model,
                "data": version.dataset_version,
                "created": wording.when(version.create_time),
                "digest": version.digest[:12],
            }
            for version in versions
        ],
        hide_index=True,
    )
    if versions:
        number = st.selectbox(say("版", "Version"), [v.name.rpartition("/")[2] for v in versions])
        _version(client, next(v for v in versions if v.name.endswith(f"/{number}")))
    with st.popover(say("モデルを削除", "Delete the model")):
        st.write(say("すべての版と別名を削除します。", "All versions and aliases are deleted."))
        if st.button(say("削除する", "Delete it"), type="primary", key="delete-model"):
            client.models.delete(chosen)
            st.query_params.pop("model", None)
            st.rerun()


def _version(client: Client, version: registry_pb2.ModelVersion) -> None:
    st.page_link(
        "screens/generate.py",
        label=say("この版で生成", "Generate with it"),
        icon=":material/chat:",
        query_params={"model": version.name},
    )
    if version.metrics:
        st.dataframe([{name: round(value, 4) for name, value in sorted(version.metrics.items())}], hide_index=True)
    card, files, aliases, lineage = st.tabs(
        [say("カード", "Card"), say("ファイル", "Files"), say("別名", "Aliases"), say("来歴", "Lineage")]
    )
    card.markdown(version.card or "–")
    with files:
        _files(client, version)
    with aliases:
        _aliases(client, version)
    with lineage:
        edges = client.models.lineage(version.name).edges
        arrows = "\n".join(f'"{getattr(edge, "from")}" -> "{edge.to}"' for edge in edges)
        st.graphviz_chart(f"digraph {{ rankdir=LR; node [shape=box, style=rounded]; {arrows} }}")


def _files(client: Client, version: registry_pb2.ModelVersion) -> None:
    st.dataframe(
        [{"path": file.path, "size": wording.size(file.size_bytes), "sha256": file.sha256} for file in version.files],
        hide_index=True,
    )
    total = sum(file.size_bytes for file in version.files)
    if total > _MAX_DOWNLOAD_BYTES:
        st.code(f"aift models download {version.name} DIR", language="bash")
        return
    filename = version.name.replace("/", "-") + ".zip"
    st.download_button(
        say("ダウンロード (zip)", "Download (zip)"), lambda: _zipped(client, version.name), filename, "application/zip"
    )


def _zipped(client: Client, name: str) -> bytes:
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w") as archive:
        root = client.models.download(name, folder)
        for path in sorted(Path(root).rglob("*")):
            archive.write(path, path.relative_to(root))
    return buffer.getvalue()


def _aliases(client: Client, version: registry_pb2.ModelVersion) -> None:
    model, _, number = version.name.partition("/versions/")
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    alias = left.text_input(say("別名（例: production）", "Alias, such as production"))
    if right.button(say(f"版 {number} に向ける", f"Point it to version {number}"), disabled=not alias):
        client.models.set_alias(model, alias, version.name)
        st.rerun()
    for current in client.models.get(model).aliases:
        name, target, remove = st.columns([2, 3, 1], vertical_alignment="center")
        short = current.name.partition("@")[2]
        name.write(f"`{short}`")
        target.caption(f"{current.model_version} · {wording.when(current.update_time)}")
        if remove.button(say("削除", "Remove"), key=f"remove {current.name}"):
            client.models.delete_alias(model, short)
            st.rerun()


def _base_models(client: Client) -> None:
    with st.form("hub", border=True):
        hub_id = st.text_input(
            say("Hugging Face の ID または短い名前", "Hugging Face id or short name"),
            placeholder="SakanaAI/TinySwallow-1.5B-Instruct, distilgpt2, elyza-japanese-llama-7b",
        )
        if st.form_submit_button(say("取り込む", "Import"), type="primary") and hub_id:
            st.query_params["importing"] = client.base_models.start_hub(hub_id).name
    st.caption(say("手元のフォルダーからは:", "From a folder of yours:") + " `aift base-models import DIR`")
    importing = st.query_params.get("importing")
    if importing:
        _importing(importing)
    bases = list(client.base_models.list())
    for base in bases:
        _base_model(client, base)


@st.fragment(run_every=2)
def _importing(name: str) -> None:
    with problems_shown():
        base = signed_in_client().base_models.get(name)
        if base.state == registry_pb2.BASE_MODEL_STATE_IMPORTING:
            share = base.done_bytes / base.total_bytes if base.total_bytes else 0.0
            st.progress(
                min(share, 1.0), text=f"{name} · {wording.size(base.done_bytes)} / {wording.size(base.total_bytes)}"
            )
        elif base.state == registry_pb2.BASE_MODEL_STATE_READY:
            st.success(say(f"{name} を取り込みました。", f"{name} is ready."))
        else:
            st.error(localized(base.failure.message))


def _base_model(client: Client, base: registry_pb2.BaseModel) -> None:
    with st.container(border=True):
        left, right = st.columns([4, 1], vertical_alignment="center")
        state = registry_pb2.BaseModelState.Name(base.state).removeprefix("BASE_MODEL_STATE_").lower()
        shape = base.shape
        left.markdown(
            f"**{base.name}** · {state} · {shape.architecture} · {shape.parameters:,} · "
            f"{say('文脈', 'context')} {shape.max_context_tokens:,} · {base.licence or say('ライセンス不明', 'licence unknown')}"
        )
        if base.state == registry_pb2.BASE_MODEL_STATE_FAILED:
            left.caption(localized(base.failure.message))
        if right.button(say("削除", "Delete"), key=f"delete {base.name}"):
            client.base_models.delete(base.name)
            st.rerun()


show()
