"""Which rows each optimizer step trains, and how they are laid out. Decided ahead from the seed, the same on all ranks.

A step holds batch x accumulation x ranks rows (the last of an epoch may hold fewer). How they are dealt to ranks and
micro-batches changes neither loss nor gradient, since these are sums over trained tokens divided by their number in
the whole step. So rows are sorted by length, balanced over ranks, and, with packing, laid end to end: a micro-batch
then holds as many tokens as batch rows of full length would, and a step needs fewer of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from services.training_service.trainer.hyperparameters import Hyperparameters

Bin = list[int]


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    micro_batches: list[list[Bin]]
    """By rank, then by micro-batch: numbers of rows. All ranks have as many; one without rows is empty."""
    tokens: int
    """Tokens of all rows, over all ranks."""
    trained_tokens: int
    """Those of them that count in the loss."""
    weight: int
    """What the loss of all rows together is divided by."""


class Plan:
    """The steps of a training."""

    def __init__(
        self,
        lengths: Sequence[int],
        trained: Sequence[int],
        hyperparameters: Hyperparameters,
        world: int,
        max_length: int,
        weights: Sequence[int] | None = None,
    ) -> None:
        """`weights` of the rows in the loss; None: their trained tokens."""
        self._lengths, self._trained, self._weights = lengths, trained, trained if weights is None else weights
        self._hp, self._world = hyperparameters, world
        self._rank_rows = hyperparameters.per_device_train_batch_size * hyperparameters.gradient_accumulation_steps
        self._step_rows = self._rank_rows * world
        self._capacity = hyperparameters.per_device_train_batch_size * max_length
        self.steps_per_epoch = math.ceil(len(lengths) / self._step_rows)
        epochs = hyperparameters.num_train_epochs
        self.total_steps = hyperparameters.max_steps or max(1, math.ceil(epochs * self.steps_per_epoch))
        self._epoch, self._order = -1, list[int]()
        self._newest: tuple[int, Step] | None = None
        self.micro_batches = self._count_micro_batches()
        """Micro-batches of every step and rank."""

    def rows(self, step: int) -> Bin:
        """Numbers of the rows of a step (counted from 0), over all ranks."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order = list(range(len(self._lengths)))
            random.Random(f"epoch {epoch} of {self._hp.seed}").shuffle(self._order)  # noqa: S311 - not for secrets
            self._epoch = epoch
        return self._order[place * self._step_rows : (place + 1) * self._step_rows]

    def step(self, step: int) -> Step:
        """The layout of a step, counted from 0."""
        if self._newest is None or self._newest[0] != step:
            rows = self.rows(step)
            self._newest = (
                step,
                Step(
                    [self._lay_out(dealt) for dealt in self._deal(rows)],
                    sum(self._lengths[row] for row in rows),
                    sum(self._trained[row] for row in rows),
                    sum(self._weights[row] for row in rows),
                ),
            )
        return self._newest[1]

    def epoch_after(self, steps: int) -> float:
        """Passes over the rows done after so many steps."""
        return steps / self.steps_per_epoch

    def _count_micro_batches(self) -> int:
        if not self._hp.packing or self._hp.gradient_accumulation_steps == 1:
            return self._hp.gradient_accumulation_steps
        # Other epochs shuffle the same lengths; a step of theirs may need one more than any of the first, so all count.
        return max(len(self._fit(dealt)) for s in range(self.total_steps) for dealt in self._deal(self.rows(s)))

    def _deal(self, rows: Sequence[int]) -> list[Bin]:
        """Rows to ranks, the longest first, each to the rank with the fewest tokens that has room."""
        ranks: list[Bin] = [[] for _ in range(self._world)]
        loads = [0] * self._world
        for row in self._longest_first(rows):
            rank = min((r for r in range(self._world) if len(ranks[r]) < self._rank_rows), key=lambda r: (loads[r], r))
            ranks[rank].append(row)
            loads[rank] += self._lengths[row]
        return ranks

    def _lay_out(self, rows: Bin) -> list[Bin]:
        if not self._hp.packing:
            size = self._hp.per_device_train_batch_size
            chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
            return chunks + [[] for _ in range(self.micro_batches - len(chunks))]
        balanced = self._balance(rows, self.micro_batches)
        if all(sum(self._lengths[row] for row in part) <= self._capacity for part in balanced):
            return balanced
        fitted = self._fit(rows)
        return fitted + [[] for _ in range(self.micro_batches - len(fitted))]

    def _balance(self, rows: Bin, parts: int) -> list[Bin]:
        """Rows into so many micro-batches, each to the one with the fewest tokens."""
        bins: list[Bin] = [[] for _ in range(parts)]
        loads = [0] * parts
        for row in rows:
            lightest = loads.index(min(loads))
            bins[lightest].append(row)
            loads[lightest] += self._lengths[row]
        return bins

    def _fit(self, rows: Bin) -> list[Bin]:
        """Rows into few micro-batches within the capacity: each to the first that has room."""
        bins: list[Bin] = []
        loads: list[int] = []
        for row in rows:
            length = self._lengths[row]
            place = next((i for i, load in enumerate(loads) if load + length <= self._capacity), len(bins))
            if place == len(bins):
                bins.append([])
                loads.append(0)
            bins[place].append(row)
            loads[place] += length
        return bins

    def _longest_first(self, rows: Sequence[int]) -> list[int]:
        return sorted(rows, key=lambda row: (-self._lengths[row], row))
