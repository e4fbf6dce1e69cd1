"""Fewer points, the same picture."""

import random

import pytest

from services.training_service.store.events import StepFigures
from services.training_service.thinning import thin


def curve(length: int) -> list[StepFigures]:
    """A noisy loss with a spike, and an evaluation every hundred steps."""
    noise = random.Random(0)
    steps = []
    for step in range(1, length + 1):
        figures = {"loss": 3 / step + noise.random()}
        if step == length // 2:
            figures["loss"] = 99.0
        if step % 100 == 0:
            figures["eval_loss"] = 1.0
        steps.append(StepFigures(step=step, epoch=step / 100, figures=figures))
    return steps


@pytest.mark.parametrize("most", [2, 3, 7, 50, 999])
def test_first_last_and_no_more_than_asked_for(most: int) -> None:
    steps = curve(1000)
    kept = thin(steps, most)
    assert len(kept) <= most
    assert (kept[0].step, kept[-1].step) == (1, 1000)
    assert [step.step for step in kept] == sorted({step.step for step in kept})


def test_the_extremes_and_evaluations_stay() -> None:
    steps = curve(1000)
    kept = thin(steps, 60)
    assert 99.0 in [step.figures["loss"] for step in kept]
    lowest = min(steps, key=lambda step: step.figures["loss"])
    assert lowest.step in [step.step for step in kept]
    assert {step.step for step in steps if "eval_loss" in step.figures} <= {step.step for step in kept}


def test_a_short_curve_stays_whole() -> None:
    steps = curve(5)
    assert thin(steps, 5) == steps
