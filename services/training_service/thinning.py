"""Fewer points of a curve, without losing what an eye looks for: the first, the last, and the extremes between."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.training_service.store.events import StepFigures

_CURVE = "loss"


def thin(steps: Sequence[StepFigures], max_points: int) -> Sequence[StepFigures]:
    """At most `max_points` (2 or more): first and last, evaluations (at most a third of the points), and of equal
    stretches between them the lowest and the highest loss."""
    if len(steps) <= max_points:
        return steps
    kept = {0, len(steps) - 1}
    evaluations = [index for index, step in enumerate(steps) if any(name.startswith("eval") for name in step.figures)]
    room = (max_points - 2) // 3
    if room > 0:
        kept.update(evaluations[:: -(-len(evaluations) // room) or 1])
    for start, end in _stretches(len(steps), (max_points - len(kept)) // 2):
        kept.update(_extremes(steps, start, end))
    return [steps[index] for index in sorted(kept)]


def _stretches(length: int, count: int) -> Iterator[tuple[int, int]]:
    """Everything but the first and the last, in equal parts."""
    bounds = [1 + (length - 2) * part // count for part in range(count + 1)] if count > 0 else []
    return ((start, end) for start, end in pairwise(bounds) if start < end)


def _extremes(steps: Sequence[StepFigures], start: int, end: int) -> tuple[int, int]:
    stretch = range(start, end)

    def loss(index: int) -> float:
        return steps[index].figures.get(_CURVE, 0.0)

    return min(stretch, key=loss), max(stretch, key=loss)
