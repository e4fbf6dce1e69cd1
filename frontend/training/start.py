"""What training starts from: a base model, or a trained version that is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from aift import Client
from aift.registry.v1 import registry_pb2

from frontend.session import say
from frontend.training.draft import Draft
from frontend.training.places import Places

_BEGINNINGS = ("base", "version")


@dataclass(frozen=True, kw_only=True)
class Start:
    """The base model, and the version that is trained on where there is one."""

    base: registry_pb2.BaseModel
    version: registry_pb2.ModelVersion | None = None

    @property
    def is_adapter(self) -> bool:
        """Whether an adapter goes on, which keeps what it is made of."""
        return self.version is not None and self.version.kind == registry_pb2.MODEL_KIND_ADAPTER

    @property
    def methods(self) -> tuple[str, ...]:
        """How it can be trained."""
        if self.version is None:
            return ("lora", "qlora", "full")
        return ("lora", "qlora") if self.is_adapter else ("full",)


def choose_start(client: Client, draft: Draft, places: Places) -> Start | None:
    """The choice; None, with the way out, when there is no base model."""
    ready = registry_pb2.BASE_MODEL_STATE_READY
    bases = {base.name: base for base in client.base_models.list() if base.state == ready}
    if not bases:
        _none()
        return None
    versions = _versions(client, bases)
    beginning = "base"
    if versions:
        words = {
            "base": say("ベースモデルから", "A base model"),
            "version": say("学習済みの版の続き", "A trained version"),
        }
        beginning = st.radio(
            say("開始点", "Start from"),
            _BEGINNINGS,
            key=draft.bind("begin", "base", among=_BEGINNINGS),
            format_func=lambda word: words[word],
            horizontal=True,
            label_visibility="collapsed",
        )
        draft.keep("begin", beginning)
    if beginning == "version":
        return _version(draft, places, versions, bases)
    return _base(draft, places, bases)


def _versions(client: Client, bases: dict[str, registry_pb2.BaseModel]) -> dict[str, registry_pb2.ModelVersion]:
    """Versions whose base model is there, newest model first."""
    found = [version for model in client.models.list() for version in client.models.versions(model.name)]
    return {version.name: version for version in found if version.base_model in bases}


def _base(draft: Draft, places: Places, bases: dict[str, registry_pb2.BaseModel]) -> Start:
    names = list(bases)
    chosen = st.selectbox(
        say("ベースモデル", "Base model"),
        names,
        key=draft.bind("base", names[0], among=names),
        format_func=lambda name: _described(bases[name]),
    )
    places.make("base_model")
    draft.keep("base", chosen)
    return Start(base=bases[chosen])


def _version(
    draft: Draft,
    places: Places,
    versions: dict[str, registry_pb2.ModelVersion],
    bases: dict[str, registry_pb2.BaseModel],
) -> Start:
    names = list(versions)
    chosen = st.selectbox(
        say("学習済みの版", "Trained version"),
        names,
        key=draft.bind("start", names[0], among=names),
        format_func=lambda name: f"{name} · {_kind(versions[name])} · {versions[name].base_model}",
    )
    places.make("start_from")
    draft.keep("start", chosen)
    start = Start(base=bases[versions[chosen].base_model], version=versions[chosen])
    if start.is_adapter:
        st.caption(
            say(
                "アダプターの続きを学習します。ランク、Alpha、対象の層はそのまま使われます。",
                "The adapter is trained on; it keeps its rank, alpha and layers.",
            )
        )
    return start


def _kind(version: registry_pb2.ModelVersion) -> str:
    return {
        registry_pb2.MODEL_KIND_ADAPTER: say("アダプター", "adapter"),
        registry_pb2.MODEL_KIND_FULL: say("全パラメータ", "all weights"),
        registry_pb2.MODEL_KIND_MERGED: say("マージ済み", "merged"),
    }.get(version.kind, "")


def _described(base: registry_pb2.BaseModel) -> str:
    parameters = base.shape.parameters
    count = f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.1f}M"
    return f"{base.display_name or base.name} · {count} · {base.licence or say('ライセンス不明', 'licence unknown')}"


def _none() -> None:
    st.page_link(
        "screens/models.py",
        label=say("まずベースモデルを取り込んでください。", "Import a base model first."),
        icon=":material/inventory_2:",
    )
    st.code("aift base-models import samples/models/tiny-ja", language="bash")
