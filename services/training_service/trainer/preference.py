"""Losses that compare answers. Each is a sum over rows, in nats and fp32.

dpo   Rafailov et al. 2023, "Direct Preference Optimization", equation 7
orpo  Hong et al. 2024, "ORPO: Monolithic Preference Optimization without Reference Model", equations 4 to 7
kto   Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization", equation 8; the reference point
      is estimated from the micro-batch, with answers under the prompts of other rows
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional

from services.training_service.trainer import head
from services.training_service.trainer.batches import Batch, collate, on_device, share_of
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.ranks import Ranks
from services.training_service.trainer.rows import AnswerRow

EXTRAS = ("targets", "sequence", "reference", "wanted")


@dataclass(frozen=True)
class Compared:
    """What came out for the rows of a batch."""

    loss: torch.Tensor
    """[rows]"""
    margin: torch.Tensor
    """[rows]; reward of the chosen answer above the rejected one's; kto: of the answer, negative where it is unwanted."""


def compare(model: Any, batch: Batch, hyperparameters: Hyperparameters) -> Compared:
    """Loss and margin of each row. Without rows empty, with gradients of zero."""
    sums, counts = _log_probabilities(model, batch)
    return _LOSSES[hyperparameters.objective](sums, counts, batch, hyperparameters.beta)


def summed_loss(model: Any, batch: Batch, hyperparameters: Hyperparameters) -> torch.Tensor:
    """Sum over the rows of the batch."""
    return compare(model, batch, hyperparameters).loss.sum()


def with_reference(
    model: Any,
    rows: Sequence[AnswerRow],
    hyperparameters: Hyperparameters,
    *,
    tokens: int,
    packing: bool,
    ranks: Ranks,
    told: Callable[[float], None],
) -> list[AnswerRow]:
    """The rows with the log-probabilities that the model gives their answers now, before it is trained.

    Counted once instead of at every step, so that no second model is held. Ranks share the work.
    """
    if hyperparameters.objective == "orpo" or not rows:
        return list(rows)
    numbered = {id(row): number for number, row in enumerate(rows)}
    mine = share_of(rows, tokens, packing, ranks)
    found = [0.0] * (2 * len(rows))
    training = model.training
    model.eval()
    with torch.no_grad():
        for done, group in enumerate(mine, 1):
            batch = on_device(collate(group, packing, compared=True), model.device)
            sums = iter(_log_probabilities(model, batch)[0].tolist())
            for row in group:
                place = 2 * numbered[id(row)]
                found[place], found[place + 1] = next(sums), next(sums)
            told(done / len(mine))
    model.train(training)
    shared = ranks.sums(found)
    return [replace(row, reference=(shared[2 * i], shared[2 * i + 1])) for i, row in enumerate(rows)]


def _log_probabilities(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum over the trained tokens of each sequence, and their number: [sequences] each."""
    inputs = {name: value for name, value in batch.items() if name not in EXTRAS}
    each = -head.losses(model, inputs, batch["targets"])
    nothing = each.new_zeros(batch["reference"].numel())
    return nothing.index_add(0, batch["sequence"], each), nothing.index_add(0, batch["sequence"], torch.ones_like(each))


def _pairs(values: torch.Tensor) -> Iterator[torch.Tensor]:
    return iter(values.view(-1, 2).unbind(1))


def _dpo(sums: torch.Tensor, counts: torch.Tensor, batch: Batch, beta: float) -> Compared:
    chosen, rejected = _pairs(sums - batch["reference"])
    margin = beta * (chosen - rejected)
    return Compared(-functional.logsigmoid(margin), margin)


def _orpo(sums: torch.Tensor, counts: torch.Tensor, batch: Batch, beta: float) -> Compared:
    chosen, rejected = _pairs(sums / counts.clamp(min=1))
    odds = (chosen - rejected) - (_log_of_rest(chosen) - _log_of_rest(rejected))
    return Compared(-chosen - beta * functional.logsigmoid(odds), beta * (chosen - rejected))


def _kto(sums: torch.Tensor, counts: torch.Tensor, batch: Batch, beta: float) -> Compared:
    rewards, elsewhere = _pairs(sums - batch["reference"])
    expected = elsewhere.detach().mean().clamp(min=0) if len(elsewhere) else elsewhere.detach().sum()
    signs = batch["wanted"].to(rewards.dtype) * 2 - 1
    return Compared(1 - torch.sigmoid(beta * signs * (rewards - expected)), beta * signs * rewards)


def _log_of_rest(log_probability: torch.Tensor) -> torch.Tensor:
    """log(1 - p) of log(p), stable for p near 1."""
    return torch.log(-torch.expm1(log_probability.clamp(max=-1e-6)))


_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, Batch, float], Compared]] = {
    "dpo": _dpo,
    "orpo": _orpo,
    "kto": _kto,
}
