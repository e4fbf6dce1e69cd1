"""What the registry speaks of: base models, models, versions, aliases, and the files they consist of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class BaseModelState(StrEnum):
    """States of a base model: IMPORTING, then one of the others for good."""

    IMPORTING = "IMPORTING"
    READY = "READY"
    FAILED = "FAILED"


class ModelKind(StrEnum):
    """What the files of a version are."""

    ADAPTER = "ADAPTER"
    FULL = "FULL"
    MERGED = "MERGED"


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of a model: its relative path, its content by digest, and where that lies in the object store."""

    path: str
    size_bytes: int
    sha256: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an import failed, in both languages."""

    reason: str
    en: str
    ja: str


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What a model's configuration and weights say of its size."""

    # transformers' name, such as "LlamaForCausalLM".
    architecture: str
    parameters: int
    hidden_size: int
    intermediate_size: int
    layers: int
    attention_heads: int
    key_value_heads: int
    # Width of one head; 0 means hidden_size / attention_heads.
    head_size: int
    vocabulary_size: int
    max_context_tokens: int
    tied_embeddings: bool
    # Type of most stored weights, such as "bfloat16".
    dtype: str


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A model on the Hugging Face Hub: its id there, and a branch, tag or commit."""

    hub_id: str
    revision: str


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What the files of a model with all its weights say."""

    shape: ModelShape
    # As the model card states it, such as "apache-2.0"; empty when unknown.
    licence: str
    has_chat_template: bool
    # Hyperparameters of the model's own aift.json; may be empty.
    recommended: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A model that others are trained from."""

    tenant: str
    id: str
    uid: str
    etag: str
    display_name: str
    # Empty when it came from files.
    hub_id: str
    # The commit on the Hub; empty until it is known.
    hub_revision: str
    state: BaseModelState
    done_bytes: int
    # 0 while unknown.
    total_bytes: int
    failure: Failure | None
    # Known once READY, like what follows.
    shape: ModelShape | None
    licence: str
    has_chat_template: bool
    recommended: Mapping[str, Any]
    digest: str
    files: tuple[StoredFile, ...]
    create_time: datetime
    update_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"baseModels/{self.id}"


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A name that moves from version to version."""

    model_id: str
    alias: str
    number: int
    update_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"models/{self.model_id}@{self.alias}"

    @property
    def version_name(self) -> str:
        """Where it points."""
        return version_name(self.model_id, self.number)


@dataclass(frozen=True, kw_only=True)
class AliasChange:
    """One move of an alias."""

    # The version from then on; None when the alias was removed.
    version: str | None
    principal: str
    time: datetime


@dataclass(frozen=True, kw_only=True)
class Model:
    """A name under which versions gather."""

    tenant: str
    id: str
    uid: str
    etag: str
    display_name: str
    description: str
    # Number of the newest version that is not deleted; 0 when there is none.
    latest_version: int
    aliases: tuple[Alias, ...]
    create_time: datetime
    update_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"models/{self.id}"


@dataclass(frozen=True, kw_only=True)
class NewVersion:
    """A version before it has a number."""

    kind: ModelKind
    # "baseModels/{base_model}"; empty for full weights of unknown origin.
    base_model: str
    base_model_digest: str
    # Empty when imported, like what follows.
    dataset_version: str = ""
    training_job: str = ""
    # How prompts are rendered, as services/text writes it; empty when unknown.
    template_json: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    # Markdown; empty to have one written.
    card: str = ""
    files: tuple[StoredFile, ...]


@dataclass(frozen=True, kw_only=True)
class Version(NewVersion):
    """One trained model that never changes."""

    tenant: str
    model_id: str
    number: int
    uid: str
    digest: str
    create_time: datetime
    # Aliases that point to it now.
    aliases: tuple[str, ...]

    @property
    def name(self) -> str:
        """The resource name."""
        return version_name(self.model_id, self.number)


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One step of a lineage: what was used, and what was made from it."""

    source: str
    target: str


def version_name(model_id: str, number: int) -> str:
    """The resource name of a version."""
    return f"models/{model_id}/versions/{number}"


def manifest_digest(files: Iterable[StoredFile]) -> str:
    """The digest of a folder: SHA-256 of what `sha256sum` prints for its files, in the order of their paths."""
    lines = (f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda one: one.path))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def edges_of(version: NewVersion, name: str) -> list[Edge]:
    """The steps that made a version: data set → job → version ← base model."""
    edges = []
    if version.dataset_version:
        edges.append(Edge(source=version.dataset_version, target=version.training_job or name))
    if version.training_job:
        edges.append(Edge(source=version.training_job, target=name))
    if version.base_model:
        edges.append(Edge(source=version.base_model, target=name))
    return edges
