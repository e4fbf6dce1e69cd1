"""What the domain speaks of, as messages of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TypeVar

from aift.common.v1 import blob_pb2
from aift.registry.v1 import registry_pb2 as pb
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.core import pages
from services.core.pages import Cursor, Page
from services.registry_service.alias_store import PlacedChange
from services.registry_service.domain import (
    Alias,
    BaseModel,
    Edge,
    Model,
    ModelShape,
    StoredFile,
    Version,
    version_name,
)
from services.registry_service.model_files import FileAddress

T = TypeVar("T")
M = TypeVar("M", bound=Message)
_MAX_PAGE_BYTES = 3 << 20


def base_model(model: BaseModel) -> pb.BaseModel:
    """A base model."""
    message = pb.BaseModel(
        name=model.name,
        uid=model.uid,
        etag=model.etag,
        display_name=model.display_name,
        hub_id=model.hub_id,
        hub_revision=model.hub_revision,
        state=pb.BaseModelState.Value(f"BASE_MODEL_STATE_{model.state}"),
        done_bytes=model.done_bytes,
        total_bytes=model.total_bytes,
        licence=model.licence,
        has_chat_template=model.has_chat_template,
        digest=model.digest,
        files=_files(model.files),
        create_time=_time(model.create_time),
        update_time=_time(model.update_time),
    )
    if model.failure is not None:
        message.failure.reason = model.failure.reason
        message.failure.message.en = model.failure.en
        message.failure.message.ja = model.failure.ja
    if model.shape is not None:
        message.shape.CopyFrom(_shape(model.shape))
    message.recommended.update(dict(model.recommended))
    return message


def model(one: Model) -> pb.Model:
    """A model."""
    return pb.Model(
        name=one.name,
        uid=one.uid,
        etag=one.etag,
        display_name=one.display_name,
        description=one.description,
        latest_version=version_name(one.id, one.latest_version) if one.latest_version else "",
        aliases=[alias(a) for a in one.aliases],
        create_time=_time(one.create_time),
        update_time=_time(one.update_time),
    )


def version(one: Version) -> pb.ModelVersion:
    """A version."""
    message = pb.ModelVersion(
        name=one.name,
        uid=one.uid,
        kind=pb.ModelKind.Value(f"MODEL_KIND_{one.kind}"),
        base_model=one.base_model,
        base_model_digest=one.base_model_digest,
        dataset_version=one.dataset_version,
        training_job=one.training_job,
        template_json=one.template_json,
        metrics=one.metrics,
        digest=one.digest,
        files=_files(one.files),
        licence=one.licence,
        card=one.card,
        create_time=_time(one.create_time),
        aliases=one.aliases,
    )
    message.hyperparameters.update(dict(one.hyperparameters))
    return message


def alias(one: Alias) -> pb.ModelAlias:
    """An alias."""
    return pb.ModelAlias(name=one.name, model_version=one.version_name, update_time=_time(one.update_time))


def alias_change(one: PlacedChange) -> pb.ModelAliasChange:
    """A move of an alias."""
    change = one.change
    return pb.ModelAliasChange(model_version=change.version or "", principal=change.principal, time=_time(change.time))


def edges(found: Iterable[Edge]) -> list[pb.LineageEdge]:
    """Steps of a lineage; one of the fields has a name that Python keeps for itself."""
    return [pb.LineageEdge(**{"from": edge.source, "to": edge.target}) for edge in found]


def file_urls(found: Iterable[FileAddress]) -> list[blob_pb2.FileUrl]:
    """Files with their addresses."""
    return [
        blob_pb2.FileUrl(path=one.file.path, size_bytes=one.file.size_bytes, sha256=one.file.sha256, url=one.url)
        for one in found
    ]


def page_of(
    page: Page, found: Sequence[T], message: Callable[[T], M], place: Callable[[T], Cursor]
) -> tuple[list[M], str]:
    """The messages of one page and the token of the next. A page ends early where it would pass 3 MiB: cards and
    lists of files are long, and a message of gRPC is bounded."""
    shown: list[M] = []
    size = 0
    for one in found[: page.size]:
        made = message(one)
        size += made.ByteSize()
        if shown and size > _MAX_PAGE_BYTES:
            break
        shown.append(made)
    more = len(shown) < len(found)
    return shown, pages.encode(place(found[len(shown) - 1]), page.filter_hash) if more else ""


def _files(files: Iterable[StoredFile]) -> list[blob_pb2.FileEntry]:
    return [blob_pb2.FileEntry(path=f.path, size_bytes=f.size_bytes, sha256=f.sha256) for f in files]


def _shape(shape: ModelShape) -> pb.ModelShape:
    return pb.ModelShape(**asdict(shape))


def _time(when: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(when)
    return stamp
