"""One training from job file to model. Read it from top to bottom."""

from __future__ import annotations

import logging
import math
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import torch
import transformers

from services.training_service.trainer import (
    checkpoint,
    evaluate,
    events,
    preference,
    swap_folder,
    zero,
)
from services.training_service.trainer.arguments import arguments
from services.training_service.trainer.batches import MicroBatches
from services.training_service.trainer.best import Best
from services.training_service.trainer.checkpoint import Place
from services.training_service.trainer.control import Command, TerminationFlag
from services.training_service.trainer.export import export
from services.training_service.trainer.imports import check_bitsandbytes
from services.training_service.trainer.job import JobFile
from services.training_service.trainer.loop import Loop
from services.training_service.trainer.loss import loss_of
from services.training_service.trainer.parts import Parts, load
from services.training_service.trainer.plan import Plan
from services.training_service.trainer.ranks import Ranks
from services.training_service.trainer.reporter import Reporter
from services.training_service.trainer.rows import AnswerRow
from services.training_service.trainer.steering import Steering

log = logging.getLogger(__name__)

_OUTCOMES: dict[Command, Literal["paused", "stopped", "interrupted"]] = {
    Command.PAUSE: "paused",
    Command.STOP: "stopped",
    Command.INTERRUPT: "interrupted",
}


def run(job: JobFile, output_dir: Path, reporter: Reporter, flag: TerminationFlag) -> events.Finished:
    """Trains and returns the last event. Raises TrainingError."""
    ranks, hp = Ranks.from_environment(), job.hyperparameters
    zero.check(hp)
    check_bitsandbytes(hp)
    device = _device(ranks)
    ranks.join(even_alone=bool(hp.deepspeed_stage))
    transformers.set_seed(hp.seed)
    transformers.utils.logging.disable_progress_bar()
    steering = Steering(output_dir, hp, ranks, flag)
    with swap_folder.made_in(Path(hp.disk_offload_dir)) if hp.on_disk else nullcontext() as swaps:
        parts = load(job, output_dir, ranks, reporter, device, swaps)
        early = steering.listen()
        if early is Command.STOP or (early is Command.INTERRUPT and not job.checkpoint):
            finished = events.Finished(outcome=_OUTCOMES[early], step=0, total_steps=0, metrics={})
        else:
            loop = _loop(parts, steering, device)
            loop.check_room = (lambda: swap_folder.check_room(swaps)) if swaps else loop.check_room
            steering.evaluate = lambda step: _evaluate(parts, loop, step)
            finished = _train(parts, loop, steering)
    ranks.leave()
    return finished


def _device(ranks: Ranks) -> torch.device:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # as settled before torch was imported
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(ranks.local_rank)
    return torch.device("cuda", ranks.local_rank)


def _loop(parts: Parts, steering: Steering, device: torch.device) -> Loop:
    """Plan and loop, at the checkpoint's place where there is one."""
    hp, rows, ranks = parts.job.hyperparameters, parts.data.train, parts.ranks
    lengths = [row.tokens for row in rows]
    trained, weights = [row.trained_tokens for row in rows], [row.weight for row in rows]
    plan = Plan(lengths, trained, hp, ranks.world, max(*lengths, hp.max_length), weights)
    mark = checkpoint.fingerprint(lengths, hp, ranks.world, plan.total_steps)
    resume_from = Path(parts.job.checkpoint) if parts.job.checkpoint else None
    place = checkpoint.read_place(resume_from, mark) if resume_from else Place(0, mark, 0, 0)
    best = Best(parts.output_dir / "best", hp.early_stopping_patience, hp.load_best_model_at_end, ranks, place.best)
    if resume_from:
        best.resume(resume_from)
        log.info("going on from step %d of %d", place.step, plan.total_steps)
    return Loop(
        parts.model,
        arguments(hp, plan, parts.output_dir, device, parts.zero),
        plan=plan,
        batches=MicroBatches(rows, plan, ranks.rank, parts.packing, compared=hp.prefers),
        loss=loss_of(hp),
        best=best,
        place=place,
        resume_from=resume_from,
        ranks=ranks,
        steering=steering,
        reporter=parts.reporter,
        output_dir=parts.output_dir,
    )


def _train(parts: Parts, loop: Loop, steering: Steering) -> events.Finished:
    total = loop.plan.total_steps
    if parts.job.hyperparameters.prefers:
        loop.once_laid_out = lambda: _count_reference(parts, loop)
    loop.before_first_step = lambda: _begin(parts, loop)
    loop.train()  # no checkpoint is made of the last step, so there is always one to go
    if steering.command is not Command.GO_ON:
        outcome = _OUTCOMES[steering.command]
        return events.Finished(outcome=outcome, step=loop.place.step, total_steps=total, metrics=_result(loop))
    step = loop.place.step
    if loop.measured_step != step:  # where training ends early the last step is measured already
        _evaluate(parts, loop, step)
    if loop.best.restore(step, parts.model):
        log.info("the weights of step %d are the result: their held-out loss was the lowest", loop.best.standing.step)
        loop.measured |= _held_out(parts, loop, step)
    parts.reporter.progress("saving", 0.0, step=step, total_steps=total, note="model")
    shared = any(zero.is_shared(parameter) for parameter in parts.model.parameters())
    weights = checkpoint.trained(parts.model, kept=parts.ranks.rank == 0) if shared else {}
    if parts.ranks.rank == 0:
        export(parts.output_dir, parts.job, parts.model, parts.data.template, _result(loop), step, weights)
    parts.ranks.wait()
    parts.reporter.progress("saving", 1.0, step=step, total_steps=total, note="model")
    return events.Finished(outcome="succeeded", step=step, total_steps=total, metrics=_result(loop))


def _count_reference(parts: Parts, loop: Loop) -> None:
    """Gives the rows what the model thinks of their answers before it is trained."""
    hp, data, reporter = parts.job.hyperparameters, parts.data, parts.reporter
    rows = [row for row in (*data.train, *data.held_out) if isinstance(row, AnswerRow)]
    with loop.accelerator.autocast():
        counted = preference.with_reference(
            parts.model,
            rows,
            hp,
            tokens=hp.per_device_train_batch_size * hp.max_length,
            packing=parts.packing,
            ranks=parts.ranks,
            told=lambda share: reporter.progress("preparing_data", 0.9 + 0.1 * share),
        )
    # In place: the loop's batches are made of these very lists.
    data.train[:], data.held_out[:] = counted[: len(data.train)], counted[len(data.train) :]


def _begin(parts: Parts, loop: Loop) -> None:
    """The measurements before training. The model is laid out for training by then: ZeRO-3 cannot run it earlier."""
    step, total = loop.place.step, loop.plan.total_steps
    if step == 0:
        _measure(parts, loop, 0)
        loop.measured |= {f"base_{name}": value for name, value in loop.measured.items()}
    parts.reporter.progress("training", step / total, step=step, total_steps=total)


def _evaluate(parts: Parts, loop: Loop, step: int) -> bool:
    """Measures, keeps the weights where they are the best, and tells whether training should end."""
    _measure(parts, loop, step)
    loop.best.take(step, loop.measured.get("eval_loss"), parts.model)
    if loop.best.exhausted and step < loop.plan.total_steps:
        log.info("training ends at step %d of %d: the held-out loss falls no more", step, loop.plan.total_steps)
    return loop.best.exhausted


def _measure(parts: Parts, loop: Loop, step: int) -> None:
    """Held-out measurements of all ranks, samples of rank 0, of the weights after a step."""
    values = _held_out(parts, loop, step)
    if step == 0:
        values = evaluate.before_training(values, parts.job.hyperparameters)
    loop.measured, loop.measured_step = loop.measured | values, step
    parts.reporter.metric(step, loop.plan.epoch_after(step), values)
    # Weights that are shared out are whole only where all ranks run the model.
    if parts.sampler.prompts and (parts.ranks.rank == 0 or parts.job.hyperparameters.deepspeed_stage == 3):
        with loop.off_the_clock(), loop.accelerator.autocast():
            _sample(parts, step)
    parts.reporter.progress("evaluating", 1.0, step=step, total_steps=loop.plan.total_steps)


def _held_out(parts: Parts, loop: Loop, step: int) -> dict[str, float]:
    """Held-out measurements of the weights that the model has now."""
    hp, total = parts.job.hyperparameters, loop.plan.total_steps

    def told(share: float) -> None:
        parts.reporter.progress("evaluating", 0.8 * share, step=step, total_steps=total)

    told(0.0)
    with loop.off_the_clock(), loop.accelerator.autocast():
        return evaluate.measure(
            parts.model,
            parts.data.held_out,
            hp,
            tokens=hp.per_device_train_batch_size * hp.max_length,
            packing=parts.packing,
            ranks=parts.ranks,
            told=told,
        )


def _sample(parts: Parts, step: int) -> None:
    # An adapter that was trained before answers otherwise than its base model from the start.
    with parts.model.disable_adapter() if step == 0 and parts.job.adapter else nullcontext():
        texts = parts.sampler.answers(parts.model)
    for prompt, text in zip(parts.sampler.prompts, texts, strict=True):
        parts.reporter.tell(events.Sample(step=step, prompt=prompt.text, text=text))


def _result(loop: Loop) -> dict[str, float]:
    counts = {"tokens": float(loop.place.tokens), "trained_tokens": float(loop.place.trained_tokens)}
    return {name: value for name, value in (loop.measured | counts).items() if math.isfinite(value)}
