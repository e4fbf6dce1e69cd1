"""How an attempt ended, read from what its ranks said last and how they went."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.training_service.domain import Failure, Outcome
from services.training_service.trainer.events import Failed, Finished

_OUTCOMES = {
    "infrastructure": Outcome.INFRASTRUCTURE_FAILURE,
    "out_of_memory": Outcome.OUT_OF_MEMORY,
    "configuration": Outcome.INVALID,
    "data": Outcome.INVALID,
}
_FINISHED = {
    "succeeded": Outcome.SUCCEEDED,
    "paused": Outcome.PAUSED,
    "stopped": Outcome.CANCELLED,
    "interrupted": Outcome.RELEASED,
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The attempt's end. `step` is the last optimizer step that was done."""

    outcome: Outcome
    failure: Failure | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    step: int = 0


def judge(
    finished: Finished | None, failures: Sequence[Failed], statuses: Sequence[int], first_failed: int | None
) -> Ending:
    """What came of a run of the trainer that nobody killed on purpose. `first_failed` is a rank."""
    if failures:
        # One rank's lack of memory or bad row breaks the connection of all the others: the cause is told.
        cause = min(failures, key=lambda failed: failed.failure == "infrastructure")
        said = Failure(reason=cause.reason, en=cause.en, ja=cause.ja)
        return Ending(outcome=_OUTCOMES[cause.failure], failure=said)
    if finished is not None:
        # Written when everything was whole. What a library does while its process ends takes nothing from that.
        return Ending(outcome=_FINISHED[finished.outcome], metrics=dict(finished.metrics), step=finished.step)
    return Ending(outcome=Outcome.INFRASTRUCTURE_FAILURE, failure=_died(statuses, first_failed))


def _died(statuses: Sequence[int], first_failed: int | None) -> Failure:
    rank = first_failed or 0
    status = statuses[rank] if statuses else 0
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return Failure(
        reason="RANK_DIED",
        en=f"Rank {rank} of the trainer ended without a result ({how}).",
        ja=f"トレーナーのランク {rank} が結果を残さずに終了しました ({how})。",
    )


def infrastructure(reason: str, en: str, ja: str) -> Ending:
    """Something other than the trainer failed; another attempt may succeed."""
    return Ending(outcome=Outcome.INFRASTRUCTURE_FAILURE, failure=Failure(reason=reason, en=en, ja=ja))
