"""What happens after each optimizer step: commands, checkpoints, evaluations. All ranks decide the same."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from services.training_service.trainer.control import Command, ControlFile, TerminationFlag
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.ranks import Ranks

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 600.0


class Steering(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Listens to control.json (rank 0) and SIGTERM (any rank), and tells the loop what to do after the step."""

    def __init__(self, output_dir: Path, hyperparameters: Hyperparameters, ranks: Ranks, flag: TerminationFlag) -> None:
        self._file, self._flag = ControlFile(output_dir), flag
        self._hp, self._ranks = hyperparameters, ranks
        self._saved_at = time.monotonic()
        self._owed = Command.GO_ON
        self.command = Command.GO_ON
        """What ended the training early; GO_ON where nothing did."""
        self.evaluate: Callable[[int], bool] = lambda step: False
        """Measures at a step and tells whether training should end there; set by whoever runs the loop."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Agrees on what to do now that the step is done."""
        step = state.global_step
        command = Command(self._ranks.highest(self._wanted(step)))
        last = step >= state.max_steps
        if Command.GO_ON < command < Command.STOP and not last:
            control.should_save = True
            self._saved_at = time.monotonic()
        if command >= Command.INTERRUPT and (not last or command is Command.STOP):
            self.command = command
            control.should_training_stop = True
        elif self._hp.eval_steps and step % self._hp.eval_steps == 0 and not last:
            control.should_training_stop = self.evaluate(step)

    def listen(self) -> Command:
        """What all ranks were told before the first step, agreed on; a checkpoint is owed until then."""
        self._owed = Command(self._ranks.highest(max(self._told(), self._flagged())))
        return self._owed

    def _wanted(self, step: int) -> Command:
        """What this rank alone would do."""
        due = Command.CHECKPOINT if self._due(step) else Command.GO_ON
        owed, self._owed = self._owed, Command.GO_ON
        return max(self._told(), self._flagged(), due, owed)

    def _due(self, step: int) -> bool:
        if self._hp.save_steps:
            return step % self._hp.save_steps == 0
        return self._ranks.rank == 0 and time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS

    def _flagged(self) -> Command:
        return Command.INTERRUPT if self._flag.raised else Command.GO_ON

    def _told(self) -> Command:
        if self._ranks.rank != 0:
            return Command.GO_ON
        try:
            return self._file.read()
        except (OSError, ValueError) as error:
            log.warning("the control file is ignored: %s", error)
            return Command.GO_ON
