"""The weights with the lowest held-out loss, and when training has stopped to get better."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from services.training_service.trainer import checkpoint
from services.training_service.trainer.checkpoint import BEST_FILE, Standing
from services.training_service.trainer.ranks import Ranks


@dataclass
class Best:
    """Follows the evaluations. All ranks see the same losses; the first rank of each node keeps the weights."""

    folder: Path
    patience: int
    """Evaluations without a better loss after which training ends; 0: never."""
    keeps_weights: bool
    ranks: Ranks
    standing: Standing

    @property
    def exhausted(self) -> bool:
        """Whether training should end."""
        return 0 < self.patience <= self.standing.waited

    @property
    def file(self) -> Path | None:
        """The weights; None while none are kept."""
        file = self.folder / BEST_FILE
        return file if self.keeps_weights and self.standing.step >= 0 else None

    def take(self, step: int, loss: float | None, model: Any) -> None:
        """Looks at an evaluation; None where nothing was held out. Every rank calls it."""
        if loss is None:
            return
        if loss >= self.standing.loss:
            self.standing = replace(self.standing, waited=self.standing.waited + 1)
            return
        self.standing = Standing(loss=loss, step=step, waited=0)
        weights = checkpoint.trained(model, kept=self.ranks.first_here) if self.keeps_weights else {}
        if weights:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self.folder / f".{BEST_FILE}.partial"
            save_file(weights, partial)
            partial.replace(self.folder / BEST_FILE)
        self.ranks.wait()

    def resume(self, directory: Path) -> None:
        """Takes the weights back that a checkpoint carries."""
        kept = directory / BEST_FILE
        if self.keeps_weights and self.ranks.first_here and kept.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, self.folder / BEST_FILE)  # the checkpoint may lie on another disk
        self.ranks.wait()

    def restore(self, step: int, model: Any) -> bool:
        """Puts the best weights into the model; False where it has them already at `step`."""
        if self.file is None or self.standing.step == step:
            return False
        checkpoint.put_weights(self.file, model)
        return True
