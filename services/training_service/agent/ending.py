"""How an attempt ended, read from what its ranks said last and how they went."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.training_service.domain import Failure, Outcome
from services.training_service.trainer.events import Failed, Finished
from services.training_service.trainer.failures import DISK_FULL

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
_DISK_FULL = Failure(
    reason="DISK_FULL",
    en="The worker's disk is full; free some space there.",
    ja="ワーカーのディスクに空きがありません。空きを作ってください。",
)
_STORE_FULL = Failure(
    reason="DISK_FULL",
    en="The object store is full; free some space there.",
    ja="オブジェクトストアに空きがありません。空きを作ってください。",
)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The attempt's end. `step` is the last optimizer step that was done, of `total_steps`."""

    outcome: Outcome
    failure: Failure | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    step: int = 0
    total_steps: int = 0


def judge(
    finished: Finished | None, failures: Sequence[Failed], statuses: Mapping[int, int], first_failed: int | None
) -> Ending:
    """What came of a run of the trainer that nobody killed on purpose: what it said last, the exit statuses by rank,
    and the rank that failed first."""
    if failures:
        # One rank's lack of memory or room, or bad row, breaks the connection of all the others: the cause is told.
        cause = min(failures, key=lambda failed: (failed.failure == "infrastructure", failed.reason != "DISK_FULL"))
        said = Failure(reason=cause.reason, en=cause.en, ja=cause.ja)
        return Ending(outcome=_OUTCOMES[cause.failure], failure=said)
    if finished is not None:
        # Written when everything was whole. What a library does while its process ends takes nothing from that.
        return Ending(
            outcome=_FINISHED[finished.outcome],
            metrics=dict(finished.metrics),
            step=finished.step,
            total_steps=finished.total_steps,
        )
    return Ending(outcome=Outcome.INFRASTRUCTURE_FAILURE, failure=_died(statuses, first_failed))


def _died(statuses: Mapping[int, int], first_failed: int | None) -> Failure:
    rank = min(statuses, default=0) if first_failed is None else first_failed
    status = statuses.get(rank, 0)
    if status == DISK_FULL:
        return _DISK_FULL
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return Failure(
        reason="RANK_DIED",
        en=f"Rank {rank} of the trainer ended without a result ({how}).",
        ja=f"トレーナーのランク {rank} が結果を残さずに終了しました ({how})。",
    )


def lines_of(failed: Failed) -> list[str]:
    """A failure for the log."""
    return [f"ERROR {failed.en}", *failed.detail.splitlines()]


def uneven(processes: int, nodes: int) -> Ending:
    """The processes that a job asks for cannot be dealt out to its nodes; the same would happen again."""
    return Ending(
        outcome=Outcome.INVALID,
        failure=Failure(
            reason="UNEVEN_NODES",
            en=f"spec.processes is {processes}, which {nodes} nodes cannot share evenly; use a multiple of {nodes}.",
            ja=f"spec.processes の値 {processes} は {nodes} ノードに等分できません。{nodes} の倍数にしてください。",
        ),
    )


def disk_full() -> Ending:
    """The agent found no room for what it writes."""
    return Ending(outcome=Outcome.INFRASTRUCTURE_FAILURE, failure=_DISK_FULL)


def store_full() -> Ending:
    """The object store found none for the result."""
    return Ending(outcome=Outcome.INFRASTRUCTURE_FAILURE, failure=_STORE_FULL)


def infrastructure(reason: str, en: str, ja: str) -> Ending:
    """Something other than the trainer failed; another attempt may succeed."""
    return Ending(outcome=Outcome.INFRASTRUCTURE_FAILURE, failure=Failure(reason=reason, en=en, ja=ja))
