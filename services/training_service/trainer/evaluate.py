"""Held-out loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from services.training_service.trainer import preference
from services.training_service.trainer.batches import Batch, collate, on_device, share_of
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.loss import summed_loss
from services.training_service.trainer.ranks import Ranks
from services.training_service.trainer.rows import TrainingRow

Told = Callable[[float], None]


def measure(
    model: Any,
    rows: Sequence[TrainingRow],
    hyperparameters: Hyperparameters,
    *,
    tokens: int,
    packing: bool,
    ranks: Ranks,
    told: Told,
) -> dict[str, float]:
    """Held-out measurements; {} without rows. Rows are shared among the ranks, in batches of at most `tokens` tokens.

    Where answers are written, over the trained tokens: eval_loss, eval_perplexity and eval_bits_per_character, which
    counts the stop token's bits but not as a character. Where they are compared, over the rows: eval_loss,
    eval_reward_accuracy (the share in which the better answer won) and eval_reward_margin.
    """
    if not rows:
        return {}
    compared = hyperparameters.prefers
    mine = share_of(rows, tokens, packing, ranks)
    totals = [0.0, 0.0, 0.0]
    training = model.training
    model.eval()
    with torch.no_grad():
        for done, group in enumerate(mine, 1):
            batch = on_device(collate(group, packing, compared=compared), model.device)
            found = _compared(model, batch, hyperparameters) if compared else (float(summed_loss(model, batch)), 0, 0)
            totals = [total + value for total, value in zip(totals, found, strict=True)]
            told(done / len(mine))
    model.train(training)
    counted = [row for group in mine for row in group]
    weight, characters = sum(row.weight for row in counted), sum(row.characters for row in counted)
    return _figures(ranks.sums([*totals, weight, characters]), compared=compared)


def before_training(figures: dict[str, float], hyperparameters: Hyperparameters) -> dict[str, float]:
    """Without rewards where they are measured against the model before training, which it still is: all of them are zero,
    and what is not is rounding."""
    if hyperparameters.objective not in ("dpo", "kto"):
        return figures
    return {name: value for name, value in figures.items() if "reward" not in name}


def _compared(model: Any, batch: Batch, hyperparameters: Hyperparameters) -> tuple[float, float, float]:
    found = preference.compare(model, batch, hyperparameters)
    return float(found.loss.sum()), float((found.margin > 0).sum()), float(found.margin.sum())


def _figures(sums: Sequence[float], *, compared: bool) -> dict[str, float]:
    total, right, margin, weight, characters = sums
    loss = total / weight
    if compared:
        return {
            "eval_loss": loss,
            "eval_reward_accuracy": right / weight,
            "eval_reward_margin": margin / weight,
        }
    return {
        "eval_loss": loss,
        "eval_perplexity": math.exp(loss) if loss < 700 else math.inf,
        "eval_bits_per_character": total / math.log(2) / max(1.0, characters),
    }
