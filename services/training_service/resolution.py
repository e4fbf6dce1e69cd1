"""What the names in a spec mean: asked of the data service and the registry, for the caller."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from aift.data.v1 import data_pb2, data_pb2_grpc
from aift.registry.v1 import registry_pb2, registry_pb2_grpc
from google.protobuf.json_format import MessageToDict

from services.core.errors import InvalidArgument, NotFound
from services.text.fields import label
from services.text.rows import Form
from services.text.template import Template, for_version
from services.training_service.errors import BaseModelNotReady
from services.training_service.lengths import Lengths
from services.training_service.shape import ModelShape

_SAMPLE_ROWS = 50
LABELS_AT_ONCE = 100
"""Rows whose labels one call brings."""


@dataclass(frozen=True, kw_only=True)
class ResolvedBase:
    """A base model that is ready. `name` is without aliases."""

    name: str
    digest: str
    shape: ModelShape


@dataclass(frozen=True, kw_only=True)
class ResolvedRows:
    """A version of a data set. `name` has its number."""

    name: str
    sha256: str
    rows: int
    lengths: Lengths
    form: Form
    template_json: str


@dataclass(frozen=True, kw_only=True)
class ResolvedStart:
    """A trained version to go on from. `name` has its number; `hyperparameters` are those that it was trained with."""

    name: str
    digest: str
    is_adapter: bool
    base_model: str
    base_model_digest: str
    hyperparameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The first rows as they would be trained."""

    rows: int
    trained_tokens: int
    truncated_tokens: int


class Resolver:
    """Turns names into what they mean now. What the other services say besides goes on to the client as it is."""

    def __init__(
        self, registry: registry_pb2_grpc.RegistryServiceAsyncStub, data: data_pb2_grpc.DataServiceAsyncStub
    ) -> None:
        self._registry = registry
        self._data = data

    async def base_model(self, name: str, *, field: str) -> ResolvedBase:
        """Raises InvalidArgument, NotFound and BaseModelNotReady."""
        with _naming(name, "baseModels/", field):
            model = await self._registry.GetBaseModel(registry_pb2.GetBaseModelRequest(name=name))
        if model.state != registry_pb2.BASE_MODEL_STATE_READY:
            state = registry_pb2.BaseModelState.Name(model.state).removeprefix("BASE_MODEL_STATE_")
            raise BaseModelNotReady(model.name, state=state)
        return ResolvedBase(name=model.name, digest=model.digest, shape=shape_of(model.shape))

    async def start(self, name: str, *, field: str) -> ResolvedStart:
        """Raises InvalidArgument and NotFound."""
        with _naming(name, "models/", field):
            version = await self._registry.GetModelVersion(registry_pb2.GetModelVersionRequest(name=name))
        return ResolvedStart(
            name=version.name,
            digest=version.digest,
            is_adapter=version.kind == registry_pb2.MODEL_KIND_ADAPTER,
            base_model=version.base_model,
            base_model_digest=version.base_model_digest,
            hyperparameters=MessageToDict(version.hyperparameters),
        )

    async def rows(self, name: str, *, field: str) -> ResolvedRows:
        """Raises InvalidArgument and NotFound."""
        with _naming(name, "datasets/", field):
            version = await self._data.GetDatasetVersion(data_pb2.GetDatasetVersionRequest(name=name))
        template = template_of(version.template)
        return ResolvedRows(
            name=version.name,
            sha256=version.sha256,
            rows=version.statistics.rows,
            lengths=Lengths(
                counts=version.statistics.histogram_counts,
                bounds=version.statistics.histogram_bounds,
                total=version.statistics.characters,
                longest=version.statistics.max_characters,
                median=version.statistics.median_characters,
                counted=False,
            ),
            form=template.form,
            template_json=template.to_json(),
        )

    async def lengths(self, rows: ResolvedRows, base: ResolvedBase) -> Lengths:
        """Lengths of the rows in tokens where they were counted with this base model, else in characters."""
        request = data_pb2.GetTokenStatisticsRequest(name=rows.name, base_model=base.name)
        try:
            found = await self._data.GetTokenStatistics(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return rows.lengths
            raise
        return Lengths(
            counts=found.histogram_counts,
            bounds=found.histogram_bounds,
            total=found.tokens,
            longest=found.max_tokens,
            median=found.median_tokens,
            counted=True,
        )

    async def labels(self, rows: ResolvedRows, offset: int) -> dict[int, bool]:
        """By position in the version, the labels of rows from there on. Raises what the data service says."""
        request = data_pb2.PreviewRowsRequest(name=rows.name, offset=offset, limit=LABELS_AT_ONCE)
        found = await self._data.PreviewRows(request)
        return {row.index: label(json.loads(row.json), "label", []) for row in found.rows}

    async def sample(self, rows: ResolvedRows, base: ResolvedBase, max_length: int) -> Sample:
        """What of the first rows is trained, rendered by the trainer's code. Raises what the data service says."""
        found = await self._data.PreviewSupervision(
            data_pb2.PreviewSupervisionRequest(
                name=rows.name, base_model=base.name, limit=_SAMPLE_ROWS, max_length=max_length
            )
        )
        return Sample(
            rows=len(found.rows), trained_tokens=found.trained_tokens, truncated_tokens=found.truncated_tokens
        )


@contextmanager
def _naming(name: str, prefix: str, field: str) -> Iterator[None]:
    """What is wrong with the name is told as the field's, not as that of the call to the other service."""
    if not name.startswith(prefix) or ".." in name:
        raise _no_name(name, prefix, field)
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            raise _no_name(name, prefix, field) from error
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise NotFound(name, field=field) from error
        raise


def _no_name(name: str, prefix: str, field: str) -> InvalidArgument:
    shown = name if len(name) <= 80 else name[:79] + "…"
    return InvalidArgument.field(
        field,
        "INVALID_NAME",
        f"Is {shown!r}; write a name such as {prefix}my-{prefix[:-2]}.",
        f"{shown!r} は使えません。{prefix}my-{prefix[:-2]} のような名前を指定してください。",
    )


def template_of(message: data_pb2.RowTemplate) -> Template:
    """The template of a version's rows as services/text writes it."""
    form = data_pb2.RowForm.Name(message.form).removeprefix("ROW_FORM_")
    train_on = data_pb2.TrainOn.Name(message.train_on).removeprefix("TRAIN_ON_")
    return for_version(form, train_on, message.prompt_marker, message.completion_marker)


def shape_of(message: registry_pb2.ModelShape) -> ModelShape:
    """The shape as this service counts with it."""
    heads = max(message.attention_heads, 1)
    return ModelShape(
        architecture=message.architecture,
        parameters=message.parameters,
        hidden_size=message.hidden_size,
        intermediate_size=message.intermediate_size,
        layers=message.layers,
        attention_heads=heads,
        key_value_heads=message.key_value_heads or heads,
        head_size=message.head_size or message.hidden_size // heads,
        vocabulary_size=message.vocabulary_size,
        max_context_tokens=message.max_context_tokens,
        tied_embeddings=message.tied_embeddings,
        dtype=message.dtype,
    )
