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
_MEMORY_BYTES = JOBS.c.memory_bytes * func.greatest(_GPUS, 1)
_ON_DISK = or_(*(_SETTINGS[name].astext == "nvme" for name in ("offload_optimizer", "offload_param")))
_LIBRARIES = {
    "bitsandbytes": or_(_SETTINGS["method"].astext == "qlora", _SETTINGS["optim"].astext.contains("8bit")),
    "deepspeed": _SETTINGS["deepspeed_stage"].astext != "0",
}


def met_by(machine: pb.MachineStatus, gpus: int) -> ColumnElement[bool]:
    """Whether the machine can run the job once all of its `gpus` are free; one without any runs as many ranks as its
    memory holds, where that is known."""
    lacking = [needed for library, needed in _LIBRARIES.items() if library not in machine.libraries]
    directory = offered_by(machine)
    offered = ["", directory] if directory else []
    if gpus:
        has_room: ColumnElement[bool] = gpus >= _GPUS
    else:
        memory_bytes = machine.memory_total_bytes
        has_room = memory_bytes >= _MEMORY_BYTES if memory_bytes else true()
    return and_(
        has_room,
        or_(not_(_ON_DISK), _SETTINGS["disk_offload_dir"].astext.in_(offered)),
        *(not_(needed) for needed in lacking),
    )
