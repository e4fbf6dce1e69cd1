"""Database rows as what the domain speaks of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping

from services.registry_service.domain import (
    Alias,
    BaseModel,
    BaseModelState,
    Failure,
    Model,
    ModelKind,
    ModelShape,
    StoredFile,
    Version,
)

Row = RowMapping | Mapping[str, Any]


def files(listed: Iterable[Mapping[str, Any]]) -> tuple[StoredFile, ...]:
    """Files in the order of their paths."""
    return tuple(sorted((StoredFile(**file) for file in listed), key=lambda file: file.path))


def base_model(row: Row) -> BaseModel:
    """A base model; the row has its files as JSON."""
    return BaseModel(
        tenant=row["tenant"],
        id=row["id"],
        uid=row["uid"],
        etag=row["etag"],
        display_name=row["display_name"],
        hub_id=row["hub_id"],
        hub_revision=row["hub_revision"],
        state=BaseModelState(row["state"]),
        done_bytes=row["done_bytes"],
        total_bytes=row["total_bytes"],
        failure=Failure(**row["failure"]) if row["failure"] else None,
        shape=ModelShape(**row["shape"]) if row["shape"] else None,
        licence=row["licence"],
        has_chat_template=row["has_chat_template"],
        recommended=row["recommended"],
        digest=row["digest"],
        files=files(row["files"]),
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def model(row: Row, aliases: Iterable[Row]) -> Model:
    """A model; the row has the number of its newest version."""
    return Model(
        tenant=row["tenant"],
        id=row["id"],
        uid=row["uid"],
        etag=row["etag"],
        display_name=row["display_name"],
        description=row["description"],
        latest_version=row["latest_version"],
        aliases=tuple(sorted((alias(one) for one in aliases), key=lambda one: one.alias)),
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def alias(row: Row) -> Alias:
    """An alias."""
    return Alias(model_id=row["model_id"], alias=row["alias"], number=row["number"], update_time=row["update_time"])


def version(row: Row) -> Version:
    """A version; the row has its files and the names of its aliases as JSON."""
    return Version(
        tenant=row["tenant"],
        model_id=row["model_id"],
        number=row["number"],
        uid=row["uid"],
        kind=ModelKind(row["kind"]),
        base_model=row["base_model"],
        base_model_digest=row["base_model_digest"],
        dataset_version=row["dataset_version"],
        training_job=row["training_job"],
        template_json=row["template_json"],
        metrics={name: float(value) for name, value in row["metrics"].items()},
        hyperparameters=row["hyperparameters"],
        digest=row["digest"],
        licence=row["licence"],
        card=row["card"],
        files=files(row["files"]),
        create_time=row["create_time"],
        aliases=tuple(sorted(row["aliases"])),
    )


def metrics_json(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Metrics as JSON can hold them: it has no word for infinity, so "inf" and "nan" are texts."""
    return {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()}


def file_json(file: StoredFile) -> dict[str, Any]:
    """A file as JSON."""
    return asdict(file)
