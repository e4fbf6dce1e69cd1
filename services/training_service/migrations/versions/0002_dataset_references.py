"""What the data service must still be told about versions of data sets that jobs depend on."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table. Letters outlive their jobs, so that references go even when a job is purged meanwhile."""
    op.execute(
        """
        CREATE TABLE reference_letters (
            tenant          text NOT NULL,
            dataset_version text NOT NULL,
            job_id          text NOT NULL,
            principal       text NOT NULL,
            -- Whether the job depends on the version, or no longer does.
            held            boolean NOT NULL,
            -- Counts changes of mind, so that what was meanwhile changed is not taken for delivered.
            edition         bigint NOT NULL DEFAULT 1,
            tries           integer NOT NULL DEFAULT 0,
            next_time       timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (tenant, dataset_version, job_id)
        )
        """
    )
    op.execute("CREATE INDEX reference_letters_due ON reference_letters (next_time)")


def downgrade() -> None:
    """Removes it."""
    op.execute("DROP TABLE reference_letters")
