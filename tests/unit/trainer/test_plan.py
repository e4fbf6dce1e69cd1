"""Plans: every row once an epoch, the same rows a step for any number of ranks, never more than fits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.plan import Plan


def plan(lengths: list[int], world: int = 1, **fields: object) -> Plan:
    options = {"num_train_epochs": 2.0, "per_device_train_batch_size": 2, "seed": 7} | fields
    return Plan(lengths, [1] * len(lengths), Hyperparameters(**options), world, max_length=100)  # type: ignore[arg-type]


@given(
    lengths=st.lists(st.integers(1, 100), min_size=1, max_size=60),
    world=st.integers(1, 3),
    batch=st.integers(1, 4),
    accumulation=st.integers(1, 5),
    packing=st.booleans(),
)
def test_every_row_is_trained_once_an_epoch_and_fits(
    lengths: list[int], world: int, batch: int, accumulation: int, packing: bool
) -> None:
    made = plan(
        lengths,
        world,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        packing=packing,
    )
    assert made.micro_batches <= accumulation
    seen: list[int] = []
    for number in range(made.steps_per_epoch):
        step = made.step(number)
        assert len(step.micro_batches) == world
        for parts in step.micro_batches:
            assert len(parts) == made.micro_batches
            for part in parts:
                assert sum(lengths[row] for row in part) <= batch * 100
                assert packing or len(part) <= batch
        rows = [row for parts in step.micro_batches for part in parts for row in part]
        assert step.tokens == sum(lengths[row] for row in rows)
        seen += rows
    assert sorted(seen) == list(range(len(lengths)))


def test_steps_hold_the_same_rows_for_any_number_of_ranks() -> None:
    lengths = [random.Random(1).randint(1, 100) for _ in range(37)]
    alone = plan(lengths, 1, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    four = plan(lengths, 4, per_device_train_batch_size=1, gradient_accumulation_steps=2)
    assert alone.total_steps == four.total_steps
    assert [alone.rows(s) for s in range(alone.total_steps)] == [four.rows(s) for s in range(four.total_steps)]


def test_packing_needs_fewer_micro_batches() -> None:
    lengths = [10] * 64
    assert plan(lengths, per_device_train_batch_size=1, gradient_accumulation_steps=32).micro_batches == 4
    unpacked = plan(lengths, per_device_train_batch_size=1, gradient_accumulation_steps=32, packing=False)
    assert unpacked.micro_batches == 32


def test_epochs_differ_and_seeds_decide() -> None:
    lengths = [5] * 20
    made, again, other = plan(lengths), plan(lengths), plan(lengths, seed=8)
    orders = [[made.rows(s) for s in range(10 * e, 10 * e + 10)] for e in (0, 1)]
    assert orders[0] != orders[1]
    assert [again.rows(s) for s in range(10)] == orders[0]
    assert [other.rows(s) for s in range(10)] != orders[0]


@pytest.mark.parametrize(
    ("fields", "steps"),
    [({}, 20), ({"num_train_epochs": 0.5}, 5), ({"max_steps": 3}, 3), ({"num_train_epochs": 0.01}, 1)],
)
def test_number_of_steps(fields: dict[str, float], steps: int) -> None:
    assert plan([5] * 20, **fields).total_steps == steps
