"""How long the rows are in tokens, and how much of padded batches would be padding; from a histogram of lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.plan import Plan as Layout

# A chat template and its marks add a few tokens to a row; Japanese has about one token a character or fewer.
TEMPLATE_TOKENS = 32
_TYPICAL_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Rows by length: bucket i counts rows of [bounds[i-1], bounds[i])."""

    counts: Sequence[int]
    bounds: Sequence[int]
    total: int
    """Of all rows together."""
    longest: int
    median: int
    counted: bool
    """In tokens of the base model's tokenizer; else in characters, of which each is taken for a token."""

    @property
    def longest_tokens(self) -> int:
        """Tokens of the longest row, with its template."""
        return self.longest if self.counted else self.longest + TEMPLATE_TOKENS

    @property
    def drawn(self) -> int:
        """How many rows stand for all."""
        return min(sum(self.counts), _TYPICAL_ROWS)

    def typical(self, hyperparameters: Hyperparameters) -> list[int]:
        """Lengths in tokens of the rows that stand for all, as they are trained; without any, none."""
        drawn = list(self._drawn())
        if not drawn:
            return []
        scale = self.total / sum(self.counts) / (sum(drawn) / len(drawn))
        lengths = [max(1, min(round(length * scale), self.longest)) for length in drawn]
        return list(_cut(lengths, hyperparameters))

    def _drawn(self) -> Iterator[float]:
        """Lengths at equal steps through all rows in order, spread evenly within their bucket."""
        rows = sum(self.counts)
        before = 0
        places = [(k + 0.5) / self.drawn * rows for k in range(self.drawn)]
        for (low, high), count in zip(pairwise((0, *self.bounds)), self.counts, strict=False):
            top = min(high, self.longest + 1)
            yield from (
                low + (top - low) * (place - before) / count for place in places if before <= place < before + count
            )
            before += count


def _cut(lengths: Sequence[int], hyperparameters: Hyperparameters) -> Iterator[int]:
    """Rows as long as they are trained: cut, or in continued pretraining cut into several."""
    longest = hyperparameters.max_length
    for length in lengths:
        if hyperparameters.objective == "pretraining":
            yield from (min(longest, length - start) for start in range(0, length, longest))
        else:
            yield min(length, longest)


def padding_share(lengths: Sequence[int], hyperparameters: Hyperparameters, processes: int) -> float:
    """Which share of all places would be padding, were these rows laid out in padded batches: 0 up to 1."""
    padded = replace(hyperparameters, packing=False, max_steps=0, num_train_epochs=1.0)
    layout = Layout(lengths, lengths, padded, processes, padded.max_length)
    batches = [
        [lengths[row] for row in batch]
        for step in range(layout.steps_per_epoch)
        for rank in layout.step(step).micro_batches
        for batch in rank
        if batch
    ]
    places = sum(max(batch) * len(batch) for batch in batches)
    return 1 - sum(map(sum, batches)) / places if places else 0.0
