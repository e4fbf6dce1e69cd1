"""Which waiting jobs may begin, and on which machines: conditions on rows of jobs."""

from aift.training.v1 import training_pb2 as pb
from sqlalchemy import ColumnElement, Integer, and_, case, cast, func, not_, or_, true

from services.training_service.disk_offload import offered_by
from services.training_service.store.tables import JOBS

READY = and_(
    JOBS.c.delete_time.is_(None), or_(JOBS.c.not_before.is_(None), JOBS.c.not_before <= func.clock_timestamp())
)
"""Whether a waiting job may begin now."""

_SETTINGS = JOBS.c.spec["hyperparameters"]
_GPUS = case((JOBS.c.processes > 0, JOBS.c.processes), else_=cast(JOBS.c.spec["processes"].astext, Integer))
_ON_DISK = or_(*(_SETTINGS[name].astext == "nvme" for name in ("offload_optimizer", "offload_param")))
_LIBRARIES = {
    "bitsandbytes": or_(_SETTINGS["method"].astext == "qlora", _SETTINGS["optim"].astext.contains("8bit")),
    "deepspeed": _SETTINGS["deepspeed_stage"].astext != "0",
}


def met_by(machine: pb.MachineStatus, gpus: int) -> ColumnElement[bool]:
    """Whether the machine can run the job once all of its `gpus` are free; one without any runs any number of ranks."""
    lacking = [needed for library, needed in _LIBRARIES.items() if library not in machine.libraries]
    directory = offered_by(machine)
    offered = ["", directory] if directory else []
    return and_(
        true() if gpus == 0 else gpus >= _GPUS,
        or_(not_(_ON_DISK), _SETTINGS["disk_offload_dir"].astext.in_(offered)),
        *(not_(needed) for needed in lacking),
    )
