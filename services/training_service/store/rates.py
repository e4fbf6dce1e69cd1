"""How fast trainings ran: tokens per second, by the worker that they ran on."""

from collections.abc import Sequence

from aift.training.v1 import training_pb2 as pb
from psycopg.types.json import Jsonb

from services.core.db import Database
from services.training_service.domain import Spec
from services.training_service.plan import Rate
from services.training_service.plan_messages import model_of

_MEASURED = """
    SELECT w.machine, count(DISTINCT m.job_id) AS jobs,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY (m.figures->>'tokens_per_second')::float8) AS tokens_per_second
    FROM (
        SELECT tenant, id FROM jobs
        WHERE tenant = %(tenant)s AND processes = %(processes)s AND delete_time IS NULL
          AND spec->>'base_model_digest' = %(digest)s
          AND spec->'hyperparameters' @> %(alike)s
        ORDER BY create_time DESC LIMIT 20
    ) j
    JOIN metrics m ON m.tenant = j.tenant AND m.job_id = j.id AND jsonb_exists(m.figures, 'tokens_per_second')
    JOIN attempts a ON a.tenant = m.tenant AND a.job_id = m.job_id AND a.attempt = m.attempt
    JOIN workers w ON w.name = a.worker
    GROUP BY w.name, w.machine
"""
_ALIKE = (
    "method",
    "objective",
    "packing",
    "gradient_checkpointing",
    "deepspeed_stage",
    "offload_optimizer",
    "offload_param",
    "optim",
)
"""What makes one training as fast as another on the same machine, beside the base model."""


async def measured(database: Database, tenant: str, spec: Spec, processes: int) -> Sequence[Rate]:
    """Rates of the tenant's newest jobs like this one, on every worker that they ran on: medians of the logged steps."""
    values = {
        "tenant": tenant,
        "processes": processes,
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
