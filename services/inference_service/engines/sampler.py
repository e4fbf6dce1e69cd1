"""Choosing the next token of every row of a batch at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(kw_only=True)
class Choice:
    """How one row chooses, and the row's own random numbers, so that a seed gives the same text in any batch."""

    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    seed: int
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - sampling, not secrets


def penalise_repetition(logits: Tensor, seen: Tensor, penalties: Tensor) -> Tensor:
    """Makes seen tokens less likely (Keskar et al. 2019, CTRL, section 4.1), as transformers does.

    Args:
        logits: [rows, vocabulary].
        seen: [rows, vocabulary], true for tokens of the prompt and the completion so far.
        penalties: [rows], 1 changes nothing.
    """
    penalty = penalties[:, None]
    penalised = torch.where(logits < 0, logits * penalty, logits / penalty)
    return torch.where(seen, penalised, logits)


def keep_likeliest(sorted_probabilities: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Zeroes what lies outside top-k and top-p (nucleus, Holtzman et al. 2020); the likeliest token always stays.

    Args:
        sorted_probabilities: [rows, vocabulary], descending.
        top_k: [rows]; 0 keeps all.
        top_p: [rows].
    """
    rank = torch.arange(sorted_probabilities.shape[1], device=sorted_probabilities.device)[None, :]
    outside_k = (top_k[:, None] > 0) & (rank >= top_k[:, None])
    kept = sorted_probabilities.masked_fill(outside_k, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    before = kept.cumsum(dim=-1) - kept
    outside_p = (before >= top_p[:, None]) & (rank > 0)
    return kept.masked_fill(outside_p, 0.0)


def choose(logits: Tensor, seen: Tensor, choices: Sequence[Choice]) -> list[int]:
    """The next token of each row.

    Args:
        logits: [rows, vocabulary], any float type.
        seen: [rows, vocabulary], booleans.
        choices: one a row.
    """
    device = logits.device
    scores = penalise_repetition(
        logits.float(), seen, torch.tensor([c.repetition_penalty for c in choices], device=device)
    )
    tokens = scores.argmax(dim=-1)
    drawn = [row for row, choice in enumerate(choices) if choice.temperature > 0]
    if drawn:
        rows = torch.tensor(drawn, device=device)
        tokens[rows] = _draw(scores[rows], [choices[row] for row in drawn])
    chosen: list[int] = tokens.tolist()
    return chosen


def _draw(scores: Tensor, choices: Sequence[Choice]) -> Tensor:
    """Draws by the inverse of the cumulative distribution, one uniform number a row. Returns [rows]."""
    device = scores.device
    temperature = torch.tensor([c.temperature for c in choices], device=device)
    probabilities = torch.softmax(scores / temperature[:, None], dim=-1)
    ordered, order = probabilities.sort(dim=-1, descending=True)
    kept = keep_likeliest(
        ordered,
        torch.tensor([c.top_k for c in choices], device=device),
        torch.tensor([c.top_p for c in choices], device=device),
    )
    cumulative = kept.cumsum(dim=-1)
    uniform = torch.tensor([c.random.random() for c in choices], device=device, dtype=cumulative.dtype)
    target = uniform[:, None] * cumulative[:, -1:]
    position = torch.searchsorted(cumulative, target, right=True).clamp(max=scores.shape[-1] - 1)
    return order.gather(1, position).squeeze(1)
