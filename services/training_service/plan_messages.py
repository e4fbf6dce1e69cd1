"""Machines and plans: from the contract's messages to what plans count with, and back."""

from aift.training.v1 import training_pb2 as pb

from services.core.errors import InvalidArgument
from services.training_service import messages
from services.training_service.domain import Spec
from services.training_service.fitting import Machine
from services.training_service.gpu_models import memory_of
from services.training_service.plan import Plan
from services.training_service.store.workers import SeenWorker

_MOST_GPUS = 64


def machine_of(worker: SeenWorker) -> Machine:
    """A worker that there is."""
    machine = worker.machine
    sizes = [gpu.memory_total_bytes for gpu in machine.gpus]
    return Machine(
        worker=worker.name,
        model=model_of(machine),
        gpus=len(sizes),
        available_bytes=min(sizes, default=machine.memory_total_bytes),
        memory_bytes=machine.memory_total_bytes,
        cores=machine.cpu_count,
        disk_free_bytes=machine.disk_offload.free_bytes,
    )


def model_of(machine: pb.MachineStatus) -> str:
    """What a machine computes on: its first GPU's model, or how many cores it has."""
    return machine.gpus[0].model if machine.gpus else f"{machine.cpu_count} CPU cores"


def planned_machine(hardware: pb.PlannedHardware) -> Machine:
    """A machine that need not be there. Raises InvalidArgument."""
    _within("hardware.gpus", hardware.gpus, _MOST_GPUS)
    _within("hardware.gpu_memory_bytes", hardware.gpu_memory_bytes, 1 << 50)
    gpus, memory = hardware.gpus or 1, hardware.gpu_memory_bytes
    named = bool(hardware.gpu_model) or not memory
    name, own = memory_of(hardware.gpu_model, field="hardware.gpu_model") if named else ("GPU", 0)
    return Machine(worker=f"{gpus} x {name}", model=name if named else "", gpus=gpus, available_bytes=memory or own)


def plan_to(made: Plan, spec: Spec) -> pb.TrainingPlan:
    """The plan of a resolved spec."""
    return pb.TrainingPlan(
        spec=messages.spec_to(spec),
        parameters=made.parameters,
        trainable_parameters=made.trained_parameters,
        train_rows=made.train_rows,
        eval_rows=made.eval_rows,
        steps=made.steps,
        effective_batch_size=made.effective_batch,
        memory=[pb.MemoryPart(part=part, size_bytes=size) for part, size in made.need.parts.items() if size],
        memory_bytes=made.need.device_bytes,
        fits=[
            pb.PlanFit(
                worker=machine.worker,
                available_bytes=machine.available_bytes,
                fits=fits,
                offloaded_bytes=made.need.offloaded_bytes,
                machine_memory_bytes=machine.memory_bytes,
                offloaded_to_disk_bytes=made.need.on_disk_bytes,
                disk_free_bytes=machine.disk_free_bytes or 0,
            )
            for machine, fits in made.fits
        ],
        notes=map(messages.note_to, made.notes),
        remedies=[
            pb.PlanRemedy(
                changes=messages.hyperparameters_to(remedy.changes),
                memory_bytes=remedy.memory_bytes,
                fits=remedy.fits,
                message=messages.note_to(remedy.note),
                processes=remedy.processes,
            )
            for remedy in made.remedies
        ],
        tokens=made.tokens,
        tokens_basis=messages.note_to(made.tokens_basis),
        padding_saved=made.padding_saved,
        training_time=None if made.training_s is None else messages.duration(made.training_s),
        tokens_per_second=made.rate.tokens_per_second if made.rate else 0.0,
        training_time_basis=messages.note_to(made.training_basis),
    )


def _within(field: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise InvalidArgument.field(
            field,
            "OUT_OF_RANGE",
            f"Is {value}; choose 0 to {most}.",
            f"値 {value} は範囲外です。0 から {most} で指定してください。",
        )
