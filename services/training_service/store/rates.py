"""How fast trainings ran: tokens per second, by the worker that they ran on."""

from collections.abc import Sequence

from aift.training.v1 import training_pb2 as pb
from psycopg.types.json import Jsonb

from services.core.db import Database
from services.training_service.domain import Spec
from services.training_service.plan import Rate
from services.training_service.plan_messages import model_of

# Steps of an attempt that do not count, since memory and kernels are set up in them, and how many must be left.
_WARM_UP_STEPS = 2
_LEAST_STEPS = 10
_MEASURED = """
    WITH logged AS (
        SELECT m.job_id, a.worker, (m.figures->>'tokens_per_second')::float8 AS tokens_per_second,
               (m.figures->>'step_seconds')::float8 * (m.step - lag(m.step) OVER steps) AS seconds,
               m.step - min(m.step) OVER attempt AS after_first,
               max(m.step) OVER attempt - min(m.step) OVER attempt + 1 AS steps
        FROM (
            SELECT tenant, id FROM jobs
            WHERE tenant = %(tenant)s AND processes = %(processes)s AND delete_time IS NULL
              AND spec->>'base_model_digest' = %(digest)s
              AND spec->'hyperparameters' @> %(alike)s
            ORDER BY create_time DESC LIMIT 20
        ) j
        JOIN metrics m ON m.tenant = j.tenant AND m.job_id = j.id
          AND jsonb_exists_all(m.figures, ARRAY['tokens_per_second', 'step_seconds'])
        JOIN attempts a ON a.tenant = m.tenant AND a.job_id = m.job_id AND a.attempt = m.attempt
        WINDOW attempt AS (PARTITION BY m.job_id, m.attempt), steps AS (attempt ORDER BY m.step)
    )
    SELECT w.machine, count(DISTINCT l.job_id) AS jobs,
           sum(l.tokens_per_second * l.seconds) / sum(l.seconds) AS tokens_per_second
    FROM logged l JOIN workers w ON w.name = l.worker
    WHERE l.after_first >= %(warm_up_steps)s AND l.steps >= %(warm_up_steps)s + %(least_steps)s AND l.seconds > 0
    GROUP BY w.name, w.machine
"""
_ALIKE = (
    "method",
    "objective",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_length",
    "packing",
    "gradient_checkpointing",
    "deepspeed_stage",
    "offload_optimizer",
    "offload_param",
    "optim",
)
"""What makes one training as fast as another on the same machine, beside the base model."""


async def measured(database: Database, tenant: str, spec: Spec, processes: int) -> Sequence[Rate]:
    """Rates of the tenant's newest jobs like this one, on every worker that they ran on: all tokens over all
    time. First steps and jobs of few steps say nothing of longer ones and do not count."""
    values = {
        "tenant": tenant,
        "processes": processes,
        "warm_up_steps": _WARM_UP_STEPS,
        "least_steps": _LEAST_STEPS,
        "digest": spec.base_model_digest,
        "alike": Jsonb({name: getattr(spec.hyperparameters, name) for name in _ALIKE}),
    }
    return [
        Rate(
            model=model_of(pb.MachineStatus.FromString(row["machine"])),
            jobs=row["jobs"],
            tokens_per_second=row["tokens_per_second"],
        )
        for row in await database.fetch_all(_MEASURED, values)
    ]
