"""The tables of the schema `training`. The migrations make them; these say the same to SQLAlchemy."""

from sqlalchemy import BigInteger, Column, DateTime, Double, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from services.core.idempotency import requests_table

SCHEMA = "training"
METADATA = MetaData()
_TIME = DateTime(timezone=True)

JOBS = Table(
    "jobs",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("uid", Text),
    Column("display_name", Text),
    Column("sweep", Text),
    Column("notes", JSONB),
    Column("principal", Text),
    Column("spec", JSONB),
    Column("template_json", Text),
    Column("adjustments", JSONB),
    Column("state", Text),
    Column("progress", JSONB),
    Column("priority", Integer),
    Column("attempt", Integer),
    Column("fence", BigInteger),
    Column("worker", Text),
    Column("memory_bytes", BigInteger),
    Column("processes", Integer),
    Column("lease_expires_at", _TIME),
    Column("not_before", _TIME),
    Column("lost_attempts", Integer),
    Column("attempt_sequence", BigInteger),
    Column("node_failure", JSONB(none_as_null=True)),
    Column("last_sequence", BigInteger),
    Column("model_version", Text),
    Column("failure", JSONB(none_as_null=True)),
    Column("metrics", JSONB),
    Column("create_time", _TIME),
    Column("update_time", _TIME),
    Column("start_time", _TIME),
    Column("end_time", _TIME),
    Column("delete_time", _TIME),
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("fence", BigInteger),
    Column("worker", Text),
    Column("start_time", _TIME),
    Column("end_time", _TIME),
    Column("outcome", Text),
    Column("failure", JSONB(none_as_null=True)),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("attempt", Integer),
    Column("time", _TIME),
    Column("kind", Text),
    Column("content", LargeBinary),
)

METRICS = Table(
    "metrics",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("attempt", Integer),
    Column("epoch", Double),
    Column("figures", JSONB),
)

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("attempt", Integer),
    Column("eval_loss", Double),
    Column("create_time", _TIME),
)

FILES = Table(
    "files",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("tenant", Text),
    Column("job_id", Text),
    Column("attempt", Integer),
    Column("path", Text),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    Column("role", Text),
    Column("step", BigInteger),
    Column("create_time", _TIME),
    Column("collect_after", _TIME),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    Column("payload", LargeBinary),
    Column("tries", Integer),
    Column("next_time", _TIME),
    Column("create_time", _TIME),
)

WORKERS = Table(
    "workers",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("machine", LargeBinary),
    Column("last_seen_time", _TIME),
)

REQUESTS = requests_table(METADATA)
