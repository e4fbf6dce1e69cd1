"""The tables of the schema `data`, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from services.core.blobs import blobs_table
from services.core.idempotency import requests_table

metadata = MetaData()
blobs = blobs_table(metadata)
requests = requests_table(metadata)


def _text(name: str, *, primary_key: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, primary_key=primary_key)


def _number(name: str, *, primary_key: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=False, primary_key=primary_key)


def _made(name: str = "create_time") -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()"))


def _time(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True))


uploads = Table(
    "uploads",
    metadata,
    _text("tenant", primary_key=True),
    _text("id", primary_key=True),
    _text("uid"),
    _text("filename"),
    _number("size_bytes"),
    _number("committed_bytes"),
    _text("state"),
    Column("sha256", Text),
    _number("writer"),
    _time("closing_until"),
    _made(),
    _time("expire_time"),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    _text("tenant", primary_key=True),
    _text("upload_id", primary_key=True),
    _number("offset_bytes", primary_key=True),
    _number("size_bytes"),
    _text("key"),
)

datasets = Table(
    "datasets",
    metadata,
    _text("tenant", primary_key=True),
    _text("id", primary_key=True),
    _text("uid"),
    _text("etag"),
    _text("display_name"),
    _text("description"),
    _number("last_number"),
    _made(),
    _made("update_time"),
    _time("delete_time"),
)

data_jobs = Table(
    "data_jobs",
    metadata,
    _text("tenant", primary_key=True),
    _text("id", primary_key=True),
    _text("uid"),
    _text("kind"),
    _text("state"),
    _text("phase"),
    _text("dataset_id"),
    _text("upload_id"),
    _text("filename"),
    _text("sha256"),
    Column("spec", JSONB, nullable=False),
    Column("version_number", BigInteger),
    Column("outcome", JSONB(none_as_null=True)),
    _number("done_bytes"),
    _number("total_bytes"),
    _number("rows"),
    Column("failure", JSONB(none_as_null=True)),
    Column("report", JSONB(none_as_null=True)),
    Column("attempt", Integer, nullable=False),
    _number("fence"),
    _time("lease_expires_at"),
    _made(),
    _time("start_time"),
    _time("end_time"),
)

versions = Table(
    "versions",
    metadata,
    _text("tenant", primary_key=True),
    _text("dataset_id", primary_key=True),
    _number("number", primary_key=True),
    _text("uid"),
    _text("filename"),
    Column("template", JSONB, nullable=False),
    Column("statistics", JSONB, nullable=False),
    _text("data_job"),
    _text("parent"),
    Column("recipe", JSONB, nullable=False),
    _text("source"),
    _made(),
    _time("delete_time"),
)

version_files = Table(
    "version_files",
    metadata,
    _text("tenant", primary_key=True),
    _text("dataset_id", primary_key=True),
    _number("number", primary_key=True),
    _text("path", primary_key=True),
    _text("sha256"),
)

version_references = Table(
    "version_references",
    metadata,
    _text("tenant", primary_key=True),
    _text("dataset_id", primary_key=True),
    _number("number", primary_key=True),
    _text("referrer", primary_key=True),
    _made(),
)

token_statistics = Table(
    "token_statistics",
    metadata,
    _text("tenant", primary_key=True),
    _text("dataset_id", primary_key=True),
    _number("number", primary_key=True),
    _text("base_model", primary_key=True),
    Column("statistics", JSONB, nullable=False),
    _made(),
)
