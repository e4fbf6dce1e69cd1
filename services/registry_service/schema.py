"""The tables of the schema `registry`, as the newest migration leaves them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    MetaData,
    ScalarSelect,
    Table,
    Text,
    and_,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.core.blobs import blobs_table
from services.core.idempotency import requests_table

SCHEMA = "registry"
NUMBER_DIGITS = 19
"""Digits of the largest bigint."""

metadata = MetaData()
blobs = blobs_table(metadata)
requests = requests_table(metadata)


def _text(name: str, *, primary_key: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, primary_key=primary_key)


def _number(name: str, *, primary_key: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=False, primary_key=primary_key)


def _now(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()"))


def _time(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True))


def _json(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, JSONB(none_as_null=True), nullable=nullable)


base_models = Table(
    "base_models",
    metadata,
    _text("tenant", primary_key=True),
    _text("id", primary_key=True),
    _text("uid"),
    _text("etag"),
    _text("display_name"),
    _text("hub_id"),
    _text("hub_revision"),
    _text("state"),
    _json("source"),
    _number("done_bytes"),
    _number("total_bytes"),
    _json("failure", nullable=True),
    _json("shape", nullable=True),
    _text("licence"),
    Column("has_chat_template", Boolean, nullable=False),
    _json("recommended"),
    _text("digest"),
    Column("attempt", Integer, nullable=False),
    _number("fence"),
    _time("lease_expires_at"),
    _now("create_time"),
    _now("update_time"),
    _time("delete_time"),
)

base_model_files = Table(
    "base_model_files",
    metadata,
    _text("tenant", primary_key=True),
    _text("base_model_id", primary_key=True),
    _text("path", primary_key=True),
    _text("sha256"),
)

models = Table(
    "models",
    metadata,
    _text("tenant", primary_key=True),
    _text("id", primary_key=True),
    _text("uid"),
    _text("etag"),
    _text("display_name"),
    _text("description"),
    _number("last_number"),
    _now("create_time"),
    _now("update_time"),
    _time("delete_time"),
)

spent_numbers = Table(
    "spent_numbers",
    metadata,
    _text("tenant", primary_key=True),
    _text("model_id", primary_key=True),
    _number("last_number"),
)

versions = Table(
    "versions",
    metadata,
    _text("tenant", primary_key=True),
    _text("model_id", primary_key=True),
    _number("number", primary_key=True),
    _text("uid"),
    _text("kind"),
    _text("base_model"),
    _text("base_model_digest"),
    _text("dataset_version"),
    _text("training_job"),
    _text("template_json"),
    _json("metrics"),
    _json("hyperparameters"),
    _text("digest"),
    _text("licence"),
    _text("card"),
    _now("create_time"),
    _time("delete_time"),
)

version_files = Table(
    "version_files",
    metadata,
    _text("tenant", primary_key=True),
    _text("model_id", primary_key=True),
    _number("number", primary_key=True),
    _text("path", primary_key=True),
    _text("sha256"),
)

aliases = Table(
    "aliases",
    metadata,
    _text("tenant", primary_key=True),
    _text("model_id", primary_key=True),
    _text("alias", primary_key=True),
    _number("number"),
    _now("update_time"),
)

alias_changes = Table(
    "alias_changes",
    metadata,
    Column("id", BigInteger, primary_key=True),
    _text("tenant"),
    _text("model_id"),
    _text("alias"),
    Column("number", BigInteger),
    _text("principal"),
    _now("create_time"),
)

lineage_edges = Table(
    "lineage_edges",
    metadata,
    _text("tenant", primary_key=True),
    _text("source", primary_key=True),
    _text("target", primary_key=True),
    _text("model_id", primary_key=True),
    _number("number", primary_key=True),
)

stray_objects = Table("stray_objects", metadata, _text("key", primary_key=True), _now("seen_time"))


def files_of(files: Table, *same: ColumnElement[bool]) -> ScalarSelect[Any]:
    """The files whose row meets `same`, as a JSON list of what `domain.StoredFile` holds."""
    one = func.json_build_object(
        *("path", files.c.path, "sha256", files.c.sha256, "size_bytes", blobs.c.size_bytes, "key", blobs.c.key)
    )
    listed = select(func.coalesce(func.json_agg(one), literal_column("'[]'::json")))
    return listed.select_from(files.join(blobs, files.c.sha256 == blobs.c.sha256)).where(*same).scalar_subquery()


def same_version(one: Table, other: Table) -> ColumnElement[bool]:
    """Whether rows of two tables speak of the same version."""
    return and_(one.c.tenant == other.c.tenant, one.c.model_id == other.c.model_id, one.c.number == other.c.number)


def padded(number: ColumnElement[int]) -> ColumnElement[str]:
    """A number as text that is in the same order: places in lists are told by text."""
    return func.lpad(cast(number, Text), NUMBER_DIGITS, "0")


def numbered(number: int) -> str:
    """The same of a number that is at hand."""
    return f"{number:0{NUMBER_DIGITS}}"
