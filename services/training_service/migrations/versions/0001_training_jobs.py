"""Jobs, attempts, events, metrics, checkpoints, files, the outbox, workers, and answered requests."""

from alembic import op

revision = "0001"
down_revision = None

_STATEMENTS = (
    """
    CREATE TABLE jobs (
        tenant            text NOT NULL,
        id                text NOT NULL,
        uid               text NOT NULL UNIQUE,
        display_name      text NOT NULL DEFAULT '',
        sweep             text NOT NULL DEFAULT '',
        notes             jsonb NOT NULL DEFAULT '[]',
        principal         text NOT NULL,
        spec              jsonb NOT NULL,
        template_json     text NOT NULL,
        adjustments       jsonb NOT NULL DEFAULT '{}',
        state             text NOT NULL DEFAULT 'QUEUED',
        progress          jsonb NOT NULL DEFAULT '{}',
        priority          integer NOT NULL DEFAULT 50 CHECK (priority BETWEEN 0 AND 100),
        attempt           integer NOT NULL DEFAULT 0,
        fence             bigint NOT NULL DEFAULT 0,
        worker            text NOT NULL DEFAULT '',
        memory_bytes      bigint NOT NULL DEFAULT 0,
        processes         integer NOT NULL DEFAULT 0,
        lease_expires_at  timestamptz,
        not_before        timestamptz,
        lost_attempts     integer NOT NULL DEFAULT 0,
        attempt_sequence  bigint NOT NULL DEFAULT 0,
        node_failure      jsonb,
        last_sequence     bigint NOT NULL DEFAULT 0,
        model_version     text NOT NULL DEFAULT '',
        failure           jsonb,
        metrics           jsonb NOT NULL DEFAULT '{}',
        create_time       timestamptz NOT NULL DEFAULT clock_timestamp(),
        update_time       timestamptz NOT NULL DEFAULT clock_timestamp(),
        start_time        timestamptz,
        end_time          timestamptz,
        delete_time       timestamptz,
        PRIMARY KEY (tenant, id),
        -- What a state promises.
        CONSTRAINT succeeded_names_its_version CHECK ((state = 'SUCCEEDED') = (model_version <> '')),
        CONSTRAINT failed_says_why CHECK ((state = 'FAILED') = (failure IS NOT NULL)),
        CONSTRAINT ended_says_when
            CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (end_time IS NOT NULL)),
        CONSTRAINT lease_where_an_attempt_runs
            CHECK ((state IN ('PROVISIONING', 'RUNNING', 'PAUSING', 'CANCELLING')) = (lease_expires_at IS NOT NULL)),
        CONSTRAINT only_ended_jobs_are_deleted CHECK (delete_time IS NULL OR end_time IS NOT NULL)
    )
    """,
    "CREATE INDEX jobs_waiting ON jobs (priority DESC, create_time, id) WHERE state = 'QUEUED'",
    "CREATE INDEX jobs_leased ON jobs (lease_expires_at) WHERE lease_expires_at IS NOT NULL",
    "CREATE INDEX jobs_newest_first ON jobs (tenant, create_time DESC, id DESC)",
    # Which state may follow which. A test compares this list with the domain's.
    """
    CREATE FUNCTION check_job_transition() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (OLD.state || '>' || NEW.state) IN (
            'QUEUED>PROVISIONING',        -- claimed
            'QUEUED>PAUSED',              -- paused before it ran
            'QUEUED>CANCELLED',           -- cancelled before it ran
            'PROVISIONING>RUNNING',       -- the trainer started
            'PROVISIONING>QUEUED',        -- attempt lost or given back
            'PROVISIONING>PAUSING',       -- asked to pause
            'PROVISIONING>CANCELLING',    -- asked to cancel
            'PROVISIONING>PUBLISHING',    -- done before its first report arrived
            'PROVISIONING>FAILED',        -- no attempt can succeed
            'RUNNING>QUEUED',
            'RUNNING>PAUSING',
            'RUNNING>CANCELLING',
            'RUNNING>PUBLISHING',         -- the result is there
            'RUNNING>FAILED',
            'PAUSING>PAUSED',             -- the checkpoint is there, or the attempt is gone
            'PAUSING>CANCELLING',
            'PAUSING>PUBLISHING',         -- was done before it paused
            'PAUSING>FAILED',
            'PAUSED>QUEUED',              -- resumed
            'PAUSED>CANCELLED',
            'CANCELLING>CANCELLED',       -- stopped, or the attempt is gone
            'PUBLISHING>SUCCEEDED',       -- the registry answered
            'PUBLISHING>FAILED'           -- the registry refused
        ) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'job %/% must not go from % to %', NEW.tenant, NEW.id, OLD.state, NEW.state;
    END $$
    """,
    """
    CREATE TRIGGER job_transition BEFORE UPDATE OF state ON jobs FOR EACH ROW
        WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION check_job_transition()
    """,
    """
    CREATE TABLE attempts (
        tenant      text NOT NULL,
        job_id      text NOT NULL,
        attempt     integer NOT NULL,
        fence       bigint NOT NULL,
        worker      text NOT NULL,
        start_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
        end_time    timestamptz,
        outcome     text,
        failure     jsonb,
        PRIMARY KEY (tenant, job_id, attempt),
        FOREIGN KEY (tenant, job_id) REFERENCES jobs (tenant, id) ON DELETE CASCADE,
        CONSTRAINT ended_says_how CHECK ((end_time IS NULL) = (outcome IS NULL))
    )
    """,
    # At most one attempt of a job runs.
    "CREATE UNIQUE INDEX attempts_running ON attempts (tenant, job_id) WHERE end_time IS NULL",
    """
    CREATE TABLE events (
        tenant    text NOT NULL,
        job_id    text NOT NULL,
        sequence  bigint NOT NULL,
        attempt   integer NOT NULL,
        time      timestamptz NOT NULL,
        kind      text NOT NULL,
        content   bytea NOT NULL,
        PRIMARY KEY (tenant, job_id, sequence),
        FOREIGN KEY (tenant, job_id) REFERENCES jobs (tenant, id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE metrics (
        tenant   text NOT NULL,
        job_id   text NOT NULL,
        step     bigint NOT NULL,
        attempt  integer NOT NULL,
        epoch    double precision NOT NULL,
        figures  jsonb NOT NULL,
        PRIMARY KEY (tenant, job_id, step),
        FOREIGN KEY (tenant, job_id) REFERENCES jobs (tenant, id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE checkpoints (
        tenant       text NOT NULL,
        job_id       text NOT NULL,
        step         bigint NOT NULL,
        attempt      integer NOT NULL,
        eval_loss    double precision,
        create_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant, job_id, step),
        FOREIGN KEY (tenant, job_id) REFERENCES jobs (tenant, id) ON DELETE CASCADE
    )
    """,
    # What lies in the object store. No foreign key: a row outlives its job until its object is gone.
    """
    CREATE TABLE files (
        key            text PRIMARY KEY,
        tenant         text NOT NULL,
        job_id         text NOT NULL,
        attempt        integer NOT NULL,
        path           text NOT NULL,
        size_bytes     bigint NOT NULL,
        sha256         text NOT NULL,
        role           text NOT NULL DEFAULT 'PREPARED' CHECK (role IN ('PREPARED', 'CHECKPOINT', 'RESULT', 'EVENTS')),
        step           bigint,
        create_time    timestamptz NOT NULL DEFAULT clock_timestamp(),
        collect_after  timestamptz,
        CONSTRAINT checkpoints_have_steps CHECK ((role = 'CHECKPOINT') = (step IS NOT NULL))
    )
    """,
    "CREATE INDEX files_of_job ON files (tenant, job_id)",
    "CREATE INDEX files_garbage ON files (collect_after) WHERE collect_after IS NOT NULL",
    """
    CREATE TABLE outbox (
        tenant       text NOT NULL,
        job_id       text NOT NULL,
        payload      bytea NOT NULL,
        tries        integer NOT NULL DEFAULT 0,
        next_time    timestamptz NOT NULL DEFAULT clock_timestamp(),
        create_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant, job_id),
        FOREIGN KEY (tenant, job_id) REFERENCES jobs (tenant, id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE workers (
        name            text PRIMARY KEY,
        machine         bytea NOT NULL,
        last_seen_time  timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    """
    CREATE TABLE requests (
        tenant          text NOT NULL,
        method          text NOT NULL,
        request_id      text NOT NULL,
        payload_sha256  bytea NOT NULL,
        resource        text NOT NULL DEFAULT '',
        create_time     timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant, method, request_id)
    )
    """,
)


def upgrade() -> None:
    """Makes the schema."""
    for statement in _STATEMENTS:
        op.execute(statement)
