"""Rows into the tensors of a micro-batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from services.training_service.trainer.attention import layout
from services.training_service.trainer.plan import Plan
from services.training_service.trainer.ranks import Ranks
from services.training_service.trainer.rows import AnswerRow, TokenRow, TrainingRow

Batch = dict[str, Any]
"""Arguments of the model, and `targets` for the loss.

logits_to_keep: of the shape of input_ids, true where the next token is trained; targets: [trained] those tokens, in
that order. Flat batches: input_ids and position_ids [1, tokens] and `attention.layout`. Padded ones: input_ids and
attention_mask [rows, longest]. Where answers are compared also, for the log-probability of each sequence: sequence
[trained], its number; reference [sequences]; wanted [rows].
"""
R = TypeVar("R", bound=TrainingRow)


def collate(rows: Sequence[TrainingRow], packing: bool, *, compared: bool) -> Batch:
    """The batch of some rows; `compared` where their answers are compared."""
    sequences = [sequence for row in rows for sequence in row.sequences]
    batch = flat(sequences) if packing else padded(sequences)
    return batch | _comparison(rows) if compared else batch


def _comparison(rows: Sequence[TrainingRow]) -> Batch:
    answers = [row for row in rows if isinstance(row, AnswerRow)]
    counts = torch.tensor([s.trained_tokens for row in answers for s in row.sequences], dtype=torch.int64)
    return {
        "sequence": torch.repeat_interleave(counts),
        "reference": torch.tensor([value for row in answers for value in row.reference], dtype=torch.float32),
        "wanted": torch.tensor([row.wanted for row in answers], dtype=torch.bool),
    }


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors moved."""
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def flat(rows: Sequence[TokenRow]) -> Batch:
    """Rows end to end. Without rows one token that trains nothing, for ranks with less to do than others."""
    if not rows:
        rows = [TokenRow(np.zeros(1, np.int32), np.zeros(1, np.bool_), 0)]
    lengths = [len(row.ids) for row in rows]
    return {
        "input_ids": torch.from_numpy(np.concatenate([row.ids for row in rows]).astype(np.int64))[None],
        "position_ids": torch.from_numpy(np.concatenate([np.arange(length) for length in lengths]))[None],
        **layout(lengths),
        "logits_to_keep": torch.from_numpy(np.concatenate([_next_trained(row) for row in rows]))[None],
        "targets": _targets(rows),
    }


def padded(rows: Sequence[TokenRow]) -> Batch:
    """Rows below each other, filled up on the right."""
    if not rows:
        rows = [TokenRow(np.zeros(1, np.int32), np.zeros(1, np.bool_), 0)]
    longest = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    kept = np.zeros((len(rows), longest), np.bool_)
    for line, row in enumerate(rows):
        length = len(row.ids)
        ids[line, :length], mask[line, :length], kept[line, :length] = row.ids, 1, _next_trained(row)
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "logits_to_keep": torch.from_numpy(kept),
        "targets": _targets(rows),
    }


def _next_trained(row: TokenRow) -> npt.NDArray[np.bool_]:
    """[tokens]; whether the token after each is trained."""
    return np.append(row.trained[1:], False)


def _targets(rows: Sequence[TokenRow]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([row.ids[1:][row.trained[1:]] for row in rows]).astype(np.int64))


class MicroBatches(Dataset[Batch]):
    """The micro-batches of one rank from a step on, in the order of the plan."""

    def __init__(
        self, rows: Sequence[TrainingRow], plan: Plan, rank: int, packing: bool, *, compared: bool = False
    ) -> None:
        self._rows, self._plan, self._rank = rows, plan, rank
        self._packing, self._compared = packing, compared

    def __len__(self) -> int:
        return self._plan.total_steps * self._plan.micro_batches

    def __getitem__(self, index: int) -> Batch:
        step, place = divmod(index, self._plan.micro_batches)
        rows = [self._rows[row] for row in self._plan.step(step).micro_batches[self._rank][place]]
        return collate(rows, self._packing, compared=self._compared)


class _From(torch.utils.data.Sampler[int]):
    """Counts on from a place, but tells the whole length, so that steps are counted as if nothing were left out."""

    def __init__(self, first: int, length: int) -> None:
        self._first, self._length = first, length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._first, self._length))

    def __len__(self) -> int:
        return self._length


def loader(batches: MicroBatches, first: int, workers: int, pin_memory: bool) -> DataLoader[Batch]:
    """Micro-batches from number `first` on. Draws nothing from torch's random state, which a resume restores."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=_From(first, len(batches)),
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),
    )


def share_of(rows: Sequence[R], tokens: int, packing: bool, ranks: Ranks) -> list[list[R]]:
    """This rank's groups of rows to measure. Every rank gets equally many, some without rows where they do not go round:
    ranks that share weights out run the model equally often."""
    groups = list(evaluation_batches(rows, tokens, packing))
    mine = groups[ranks.rank :: ranks.world]
    empty: list[R] = []
    return mine + [empty] * (-(-len(groups) // ranks.world) - len(mine))


def evaluation_batches(rows: Sequence[R], tokens: int, packing: bool) -> Iterator[list[R]]:
    """Rows in groups of similar length, each of at most so many tokens with padding, and of at least one row."""
    group: list[R] = []
    for row in sorted(rows, key=lambda row: -row.tokens):
        if group and _size([*group, row], packing) > tokens:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _size(rows: Sequence[TrainingRow], packing: bool) -> int:
    lengths = [sequence.tokens for row in rows for sequence in row.sequences]
    return sum(lengths) if packing else max(lengths) * len(lengths)
