"""The training loop: transformers' Trainer over our plan, loss, checkpoints and events."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

from services.training_service.trainer import checkpoint, events
from services.training_service.trainer.batches import Batch, MicroBatches, loader
from services.training_service.trainer.best import Best
from services.training_service.trainer.checkpoint import Place
from services.training_service.trainer.failures import configuration
from services.training_service.trainer.loss import Loss
from services.training_service.trainer.plan import Plan
from services.training_service.trainer.ranks import Ranks
from services.training_service.trainer.reporter import Reporter
from services.training_service.trainer.steering import Steering


@dataclass
class Window:
    """What was done since the last logged step."""

    began: float
    tokens: int = 0
    steps: int = 0
    waited: float = 0.0
    """Seconds spent waiting for data."""


class Loop(Trainer):  # type: ignore[misc]  # transformers is untyped here
    """Runs the steps of a plan from a place on. One "epoch" of transformers is the whole plan."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the whole step's trained tokens

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        *,
        plan: Plan,
        batches: MicroBatches,
        loss: Loss,
        best: Best,
        place: Place,
        resume_from: Path | None,
        ranks: Ranks,
        steering: Steering,
        reporter: Reporter,
        output_dir: Path,
    ) -> None:
        super().__init__(model=model, args=arguments, train_dataset=batches, callbacks=[steering])
        self.remove_callback(PrinterCallback)
        self.plan, self.batches, self.place, self.resume_from = plan, batches, place, resume_from
        self.ranks, self.reporter, self.output_dir = ranks, reporter, output_dir
        self._loss, self.best = loss, best
        self.measured: dict[str, float] = dict(place.metrics)
        """Newest loss and held-out measurements, with those before training under "base_"."""
        self.measured_step = -1
        """The step of the newest held-out measurements of this run."""
        self.once_laid_out: Callable[[], None] = lambda: None
        """Called once the model can run as it is trained, with the weights from before training also where it goes on
        from a checkpoint; set by whoever runs the loop."""
        self.before_first_step: Callable[[], None] = lambda: None
        """Called with the weights that training goes on with; set by whoever runs the loop."""
        self.check_room: Callable[[], None] = lambda: None
        """Called before each step; raises OSError where a disk is full. Set by whoever runs the loop."""
        self._window = Window(time.monotonic())
        self._step_seconds = 0.0
        self._rate = 0.0

    # What is trained, in which order

    def get_train_dataloader(self) -> Any:
        """The micro-batches of this rank from the place on."""
        first = self.place.step * self.plan.micro_batches
        workers = self.args.dataloader_num_workers
        return loader(self.batches, first, workers, pin_memory=self.args.device.type == "cuda")

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], int]:
        """The micro-batches of the next step, and what that step's loss is divided by, over all ranks."""
        self.check_room()
        asked = time.monotonic()
        micro_batches = [next(epoch_iterator) for _ in range(num_batches)]
        self._window.waited += time.monotonic() - asked
        step = self.plan.step(self.place.step)
        self._window.tokens += step.tokens
        self._window.steps += 1
        self.place = replace(
            self.place,
            step=self.place.step + 1,
            tokens=self.place.tokens + step.tokens,
            trained_tokens=self.place.trained_tokens + step.trained_tokens,
        )
        return micro_batches, step.weight

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: int | None = None
    ) -> torch.Tensor:
        """This micro-batch's share of the step's mean loss; times the ranks, over which gradients are averaged."""
        return self._loss(model, inputs) * (self.ranks.world / max(1, num_items_in_batch or 1))

    def floating_point_ops(self, inputs: Batch) -> int:
        """Not counted: it would walk over all parameters at every micro-batch."""
        return 0

    # What is told

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Tells a logged step; keeps no history. Raises ConfigurationError where the loss is no number any more."""
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise _not_finite(self.args.learning_rate)
        window, now = self._window, time.monotonic()
        seconds = max(1e-9, now - window.began)
        self._window = Window(now)
        self._step_seconds = _smooth(self._step_seconds, seconds / max(1, window.steps))
        self._rate = _smooth(self._rate, window.tokens / seconds)
        self.measured["loss"] = logs["loss"]
        self.reporter.metric(
            self.place.step,
            self.plan.epoch_after(self.place.step),
            {
                **logs,
                "tokens_per_second": window.tokens / seconds,
                "step_seconds": seconds / max(1, window.steps),
                "data_wait_share": window.waited / seconds,
                "memory_bytes": float(peak_memory_bytes()),
                "tokens": float(self.place.tokens),
                "trained_tokens": float(self.place.trained_tokens),
            },
        )
        self._tell_progress()

    @contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """What happens within does not count as time of training."""
        began = time.monotonic()
        yield
        self._window.began += time.monotonic() - began

    def _tell_progress(self) -> None:
        done, total = self.place.step, self.plan.total_steps
        self.reporter.progress(
            "training",
            done / total,
            step=done,
            total_steps=total,
            loss=self.measured["loss"],
            tokens_per_second=self._rate,
            remaining_seconds=(total - done) * self._step_seconds,
        )

    # Where it goes on

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        started: tuple[int, int] = super()._init_training_state(*args, **kwargs)
        self.state.global_step = self.place.step
        return started

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        prepared = super()._prepare_for_training(*args, **kwargs)
        torch.manual_seed(self.args.seed + self.ranks.rank)  # ranks drop out differently
        self.once_laid_out()
        if self.resume_from is not None:
            checkpoint.load_weights(self.resume_from, self.model)
            checkpoint.load_states(self.resume_from, self.ranks, **self._states())
        self.before_first_step()
        self._window = Window(time.monotonic())
        return prepared

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        place = replace(self.place, metrics=self.measured, best=self.best.standing)
        name = f"checkpoints/step-{place.step}"
        with self.off_the_clock():
            self._tell_saving(0.0, name)
            folder, best = self.output_dir / name, self.best.file
            checkpoint.save(folder, place, self.ranks, model=self.model, best=best, **self._states())
            self._tell_saving(1.0, name)
        measured = self.measured.get("eval_loss") if self.measured_step == place.step else None
        self.reporter.tell(events.Checkpoint(step=place.step, path=name, eval_loss=measured))

    def _tell_saving(self, fraction: float, name: str) -> None:
        total = self.plan.total_steps
        self.reporter.progress("saving", fraction, step=self.place.step, total_steps=total, note=name)

    def _states(self) -> dict[str, Any]:
        scaler = getattr(self.accelerator, "scaler", None)
        return {"optimizer": self.optimizer, "scheduler": self.lr_scheduler, "scaler": scaler}


def peak_memory_bytes() -> int:
    """The most that this rank has held: on the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _smooth(before: float, now: float) -> float:
    """A mean over about the last ten."""
    return now if before == 0 else 0.9 * before + 0.1 * now


def _not_finite(rate: float) -> Exception:
    return configuration(
        "LOSS_NOT_FINITE",
        "hyperparameters.learning_rate",
        f"the loss is no number any more; learning_rate {rate:g} is too high for this model and data",
        f"損失が数値でなくなりました。learning_rate {rate:g} はこのモデルとデータには大きすぎます",
    )
