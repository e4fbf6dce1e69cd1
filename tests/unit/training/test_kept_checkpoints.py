"""Which checkpoints stay."""

from datetime import UTC, datetime

from services.training_service.domain import Checkpoint
from services.training_service.store.checkpoints import superseded


def checkpoint(step: int, eval_loss: float | None) -> Checkpoint:
    """One of a job's."""
    return Checkpoint(job_id="a", step=step, attempt=1, files=(), eval_loss=eval_loss, create_time=datetime.now(UTC))


def test_the_last_two_and_the_best_stay() -> None:
    losses = {50: 1.3, 40: 1.2, 30: 1.1, 20: 1.0, 10: 2.0}
    there = [checkpoint(step, loss) for step, loss in losses.items()]
    assert [old.step for old in superseded(there, 2)] == [30, 10]


def test_without_measurements_only_the_last_stay() -> None:
    there = [checkpoint(step, None) for step in (30, 20, 10)]
    assert [old.step for old in superseded(there, 2)] == [10]
    assert superseded(there[:2], 2) == []
