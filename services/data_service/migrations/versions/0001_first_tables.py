"""Uploads with their parts, data sets, versions with their files, data jobs, blobs, answered requests."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    """
    CREATE TABLE blobs (
        sha256 text PRIMARY KEY,
        key text NOT NULL UNIQUE,
        size_bytes bigint NOT NULL,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    """
    CREATE TABLE requests (
        tenant text NOT NULL,
        method text NOT NULL,
        request_id text NOT NULL,
        payload_sha256 bytea NOT NULL,
        resource text NOT NULL DEFAULT '',
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant, method, request_id)
    )
    """,
    "CREATE INDEX requests_by_age ON requests (create_time)",
    """
    CREATE TABLE uploads (
        tenant text NOT NULL,
        id text NOT NULL,
        uid text NOT NULL UNIQUE,
        filename text NOT NULL,
        size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
        committed_bytes bigint NOT NULL DEFAULT 0,
        state text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'FINALIZED', 'EXPIRED')),
        sha256 text REFERENCES blobs,
        writer bigint NOT NULL DEFAULT 0,
        -- Until then the writer is a process that closes it.
        closing_until timestamptz,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        expire_time timestamptz NOT NULL,
        PRIMARY KEY (tenant, id),
        CHECK ((state = 'FINALIZED') = (sha256 IS NOT NULL))
    )
    """,
    "CREATE INDEX uploads_by_expiry ON uploads (expire_time)",
    "CREATE INDEX uploads_by_blob ON uploads (sha256)",
    """
    CREATE TABLE upload_parts (
        tenant text NOT NULL,
        upload_id text NOT NULL,
        offset_bytes bigint NOT NULL,
        size_bytes bigint NOT NULL,
        key text NOT NULL,
        PRIMARY KEY (tenant, upload_id, offset_bytes),
        FOREIGN KEY (tenant, upload_id) REFERENCES uploads ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE datasets (
        tenant text NOT NULL,
        id text NOT NULL,
        uid text NOT NULL UNIQUE,
        etag text NOT NULL,
        display_name text NOT NULL,
        description text NOT NULL,
        -- The number that was given last; it only grows, so that no number is used twice.
        last_number bigint NOT NULL DEFAULT 0,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        update_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        delete_time timestamptz,
        PRIMARY KEY (tenant, id)
    )
    """,
    "CREATE INDEX datasets_newest ON datasets (tenant, create_time DESC, id DESC) WHERE delete_time IS NULL",
    """
    CREATE TABLE data_jobs (
        tenant text NOT NULL,
        id text NOT NULL,
        uid text NOT NULL UNIQUE,
        kind text NOT NULL CHECK (kind IN ('VALIDATION', 'IMPORT', 'PREPARATION', 'TOKEN_COUNT')),
        state text NOT NULL DEFAULT 'QUEUED'
            CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
        phase text NOT NULL DEFAULT 'WAITING',
        dataset_id text NOT NULL,
        upload_id text NOT NULL DEFAULT '',
        filename text NOT NULL DEFAULT '',
        -- Of what is read; empty while it is not fetched.
        sha256 text NOT NULL DEFAULT '',
        spec jsonb NOT NULL,
        version_number bigint,
        outcome jsonb,
        done_bytes bigint NOT NULL DEFAULT 0,
        total_bytes bigint NOT NULL DEFAULT 0,
        rows bigint NOT NULL DEFAULT 0,
        failure jsonb,
        report jsonb,
        attempt integer NOT NULL DEFAULT 0,
        fence bigint NOT NULL DEFAULT 0,
        lease_expires_at timestamptz,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        start_time timestamptz,
        end_time timestamptz,
        PRIMARY KEY (tenant, id),
        CHECK ((state = 'FAILED') = (failure IS NOT NULL)),
        CHECK ((state = 'SUCCEEDED') = (version_number IS NOT NULL))
    )
    """,
    "CREATE INDEX data_jobs_newest ON data_jobs (tenant, create_time DESC, id DESC)",
    "CREATE INDEX data_jobs_live ON data_jobs (state, create_time) WHERE state IN ('QUEUED', 'RUNNING')",
    """
    CREATE TABLE versions (
        tenant text NOT NULL,
        dataset_id text NOT NULL,
        number bigint NOT NULL,
        uid text NOT NULL UNIQUE,
        filename text NOT NULL,
        template jsonb NOT NULL,
        statistics jsonb NOT NULL,
        data_job text NOT NULL,
        parent text NOT NULL DEFAULT '',
        recipe jsonb NOT NULL DEFAULT '{}',
        source text NOT NULL DEFAULT '',
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        delete_time timestamptz,
        PRIMARY KEY (tenant, dataset_id, number),
        FOREIGN KEY (tenant, dataset_id) REFERENCES datasets ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE version_files (
        tenant text NOT NULL,
        dataset_id text NOT NULL,
        number bigint NOT NULL,
        path text NOT NULL,
        sha256 text NOT NULL REFERENCES blobs,
        PRIMARY KEY (tenant, dataset_id, number, path),
        FOREIGN KEY (tenant, dataset_id, number) REFERENCES versions ON DELETE CASCADE
    )
    """,
    "CREATE INDEX version_files_by_blob ON version_files (sha256)",
    """
    CREATE TABLE version_references (
        tenant text NOT NULL,
        dataset_id text NOT NULL,
        number bigint NOT NULL,
        referrer text NOT NULL,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant, dataset_id, number, referrer),
        FOREIGN KEY (tenant, dataset_id, number) REFERENCES versions ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE token_statistics (
        tenant text NOT NULL,
        dataset_id text NOT NULL,
        number bigint NOT NULL,
        base_model text NOT NULL,
        statistics jsonb NOT NULL,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant, dataset_id, number, base_model),
        FOREIGN KEY (tenant, dataset_id, number) REFERENCES versions ON DELETE CASCADE
    )
    """,
)


def upgrade() -> None:
    """Makes the tables. Leases follow the database's clock; foreign keys keep blobs that are in use."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Removes them."""
    for table in (
        "token_statistics",
        "version_references",
        "version_files",
        "versions",
        "data_jobs",
        "datasets",
        "upload_parts",
        "uploads",
        "requests",
        "blobs",
    ):
        op.execute(f"DROP TABLE {table}")
