"""Base models, models, versions with their files, aliases with their history, lineage, blobs, answered requests."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
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
    CREATE TABLE base_models (
        tenant text NOT NULL,
        id text NOT NULL,
        uid text NOT NULL UNIQUE,
        etag text NOT NULL,
        display_name text NOT NULL,
        hub_id text NOT NULL,
        hub_revision text NOT NULL,
        state text NOT NULL DEFAULT 'IMPORTING' CHECK (state IN ('IMPORTING', 'READY', 'FAILED')),
        -- {"hub_id", "revision"}, or {"files": [{"path", "size_bytes", "sha256", "key"}]} of other services' objects.
        source jsonb NOT NULL,
        done_bytes bigint NOT NULL DEFAULT 0,
        total_bytes bigint NOT NULL DEFAULT 0,
        failure jsonb,
        shape jsonb,
        licence text NOT NULL DEFAULT '',
        has_chat_template boolean NOT NULL DEFAULT false,
        recommended jsonb NOT NULL DEFAULT '{}',
        digest text NOT NULL DEFAULT '',
        attempt integer NOT NULL DEFAULT 0,
        fence bigint NOT NULL DEFAULT 0,
        lease_expires_at timestamptz,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        update_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        delete_time timestamptz,
        PRIMARY KEY (tenant, id),
        CHECK ((state = 'FAILED') = (failure IS NOT NULL)),
        CHECK ((state = 'READY') = (shape IS NOT NULL AND digest <> ''))
    )
    """,
    "CREATE INDEX base_models_newest ON base_models (tenant, create_time DESC, id DESC) WHERE delete_time IS NULL",
    "CREATE INDEX base_models_by_hub_id ON base_models (tenant, lower(hub_id)) WHERE hub_id <> ''",
    "CREATE INDEX base_models_importing ON base_models (create_time) WHERE state = 'IMPORTING'",
    """
    CREATE TABLE base_model_files (
        tenant text NOT NULL,
        base_model_id text NOT NULL,
        path text NOT NULL,
        sha256 text NOT NULL REFERENCES blobs,
        PRIMARY KEY (tenant, base_model_id, path),
        FOREIGN KEY (tenant, base_model_id) REFERENCES base_models ON DELETE CASCADE
    )
    """,
    "CREATE INDEX base_model_files_by_blob ON base_model_files (sha256)",
    """
    CREATE TABLE models (
        tenant text NOT NULL,
        id text NOT NULL,
        uid text NOT NULL UNIQUE,
        etag text NOT NULL,
        display_name text NOT NULL,
        description text NOT NULL DEFAULT '',
        -- The number that was given last; it only grows, so that no number is used twice.
        last_number bigint NOT NULL DEFAULT 0,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        update_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        delete_time timestamptz,
        PRIMARY KEY (tenant, id)
    )
    """,
    "CREATE INDEX models_newest ON models (tenant, create_time DESC, id DESC) WHERE delete_time IS NULL",
    """
    -- Numbers stay used after a model was purged and its id is taken again.
    CREATE TABLE spent_numbers (
        tenant text NOT NULL,
        model_id text NOT NULL,
        last_number bigint NOT NULL,
        PRIMARY KEY (tenant, model_id)
    )
    """,
    """
    CREATE TABLE versions (
        tenant text NOT NULL,
        model_id text NOT NULL,
        number bigint NOT NULL CHECK (number > 0),
        uid text NOT NULL UNIQUE,
        kind text NOT NULL CHECK (kind IN ('ADAPTER', 'FULL', 'MERGED')),
        base_model text NOT NULL,
        base_model_digest text NOT NULL,
        dataset_version text NOT NULL,
        training_job text NOT NULL,
        template_json text NOT NULL,
        metrics jsonb NOT NULL,
        hyperparameters jsonb NOT NULL,
        digest text NOT NULL,
        licence text NOT NULL,
        card text NOT NULL,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        delete_time timestamptz,
        PRIMARY KEY (tenant, model_id, number),
        FOREIGN KEY (tenant, model_id) REFERENCES models ON DELETE CASCADE,
        CHECK (kind <> 'ADAPTER' OR base_model <> '')
    )
    """,
    # A job's result is taken over once, whatever happens between us and the training service.
    "CREATE UNIQUE INDEX versions_once_per_job ON versions (tenant, training_job) WHERE training_job <> ''",
    "CREATE INDEX versions_by_base_model ON versions (tenant, base_model)",
    """
    CREATE TABLE version_files (
        tenant text NOT NULL,
        model_id text NOT NULL,
        number bigint NOT NULL,
        path text NOT NULL,
        sha256 text NOT NULL REFERENCES blobs,
        PRIMARY KEY (tenant, model_id, number, path),
        FOREIGN KEY (tenant, model_id, number) REFERENCES versions ON DELETE CASCADE
    )
    """,
    "CREATE INDEX version_files_by_blob ON version_files (sha256)",
    """
    CREATE TABLE aliases (
        tenant text NOT NULL,
        model_id text NOT NULL,
        alias text NOT NULL,
        number bigint NOT NULL,
        update_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant, model_id, alias),
        FOREIGN KEY (tenant, model_id, number) REFERENCES versions ON DELETE CASCADE
    )
    """,
    "CREATE INDEX aliases_by_version ON aliases (tenant, model_id, number)",
    """
    CREATE TABLE alias_changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant text NOT NULL,
        model_id text NOT NULL,
        alias text NOT NULL,
        -- NULL when the alias was removed. No foreign key: a version that is gone stays in the history.
        number bigint,
        principal text NOT NULL,
        create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
        FOREIGN KEY (tenant, model_id) REFERENCES models ON DELETE CASCADE
    )
    """,
    "CREATE INDEX alias_changes_newest ON alias_changes (tenant, model_id, alias, create_time DESC, id DESC)",
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
    END
    $$
    """,
    """
    CREATE TRIGGER alias_changes_append_only BEFORE UPDATE ON alias_changes
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    -- Each target was made from its source; an edge belongs to the version that tells of it.
    CREATE TABLE lineage_edges (
        tenant text NOT NULL,
        source text NOT NULL,
        target text NOT NULL,
        model_id text NOT NULL,
        number bigint NOT NULL,
        PRIMARY KEY (tenant, source, target, model_id, number),
        FOREIGN KEY (tenant, model_id, number) REFERENCES versions ON DELETE CASCADE
    )
    """,
    "CREATE INDEX lineage_edges_by_target ON lineage_edges (tenant, target)",
    "CREATE INDEX lineage_edges_by_version ON lineage_edges (tenant, model_id, number)",
    """
    -- Objects below our prefix that no blob names, and since when: an import may be about to name them.
    CREATE TABLE stray_objects (
        key text PRIMARY KEY,
        seen_time timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
)


def upgrade() -> None:
    """Makes the tables. Leases follow the database's clock; foreign keys keep blobs that are in use."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Removes them."""
    names = (
        *("stray_objects", "lineage_edges", "alias_changes", "aliases", "version_files", "versions"),
        *("spent_numbers", "models", "base_model_files", "base_models", "requests", "blobs"),
    )
    for table in names:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION refuse_change()")
