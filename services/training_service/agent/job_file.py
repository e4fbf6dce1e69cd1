"""The trainer's job file for an attempt."""

import json
from dataclasses import replace
from pathlib import Path

from aift.training.v1 import worker_pb2

from services.training_service import messages
from services.training_service.agent.fetch import LocalInputs
from services.training_service.trainer.job import BaseModel, JobFile, Rows


def write(path: Path, assignment: worker_pb2.Assignment, local: LocalInputs, disk_offload_dir: Path | None) -> None:
    """Writes what the trainer reads: local paths, and everything else as the job says."""
    job, inputs = assignment.training_job, assignment.inputs
    held_out = inputs.eval_dataset
    hyperparameters = messages.hyperparameters_from(job.spec.hyperparameters)
    if hyperparameters.on_disk:
        hyperparameters = replace(hyperparameters, disk_offload_dir=str(disk_offload_dir or ""))
    all_weights = local.start_from if local.start_from and not inputs.start_from_adapter else local.base_model
    content = JobFile(
        base_model=BaseModel(path=str(all_weights), name=inputs.base_model.name, digest=inputs.base_model.digest),
        adapter=str(local.start_from) if local.start_from and inputs.start_from_adapter else "",
        start_from=inputs.start_from.name,
        dataset=Rows(path=str(local.dataset), name=inputs.dataset.name, digest=inputs.dataset.digest),
        eval_dataset=Rows(path=str(local.eval_dataset), name=held_out.name, digest=held_out.digest)
        if local.eval_dataset
        else None,
        template=json.loads(inputs.template_json) if inputs.template_json else {},
        hyperparameters=hyperparameters,
        sample_prompts=tuple(job.spec.sample_prompts),
        checkpoint=str(local.checkpoint) if local.checkpoint else "",
        training_job=job.name,
    )
    path.write_text(content.to_json(), encoding="utf-8")
