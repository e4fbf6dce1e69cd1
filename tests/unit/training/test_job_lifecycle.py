"""Which state may follow which, and what becomes of a job when an attempt ends."""

import re
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from services.training_service.domain import ENDED, LEASED, TRANSITIONS, Failure, JobState, Outcome
from services.training_service.errors import JobHasEnded, JobIsPublishing, JobIsStopping
from services.training_service.lifecycle import (
    RetryPolicy,
    Verdict,
    after_attempt,
    after_cancel,
    after_pause,
    after_resume,
    less_memory,
)
from services.training_service.trainer.hyperparameters import Hyperparameters

FAILURE = Failure(reason="BROKEN", en="broken", ja="故障")


def ended(state: JobState, outcome: Outcome, **more: Any) -> Verdict:
    """What becomes of a job in `state`."""
    values = {
        "lost_attempts": 0,
        "hyperparameters": Hyperparameters(),
        "adjustments": {},
        "failure": FAILURE,
        "policy": RetryPolicy(),
        **more,
    }
    return after_attempt(state, outcome, **values)


def test_the_database_knows_the_same_transitions() -> None:
    migration = import_module("services.training_service.migrations.versions.0001_training_jobs")
    text = "\n".join(migration._STATEMENTS)
    written = {tuple(pair.split(">")) for pair in re.findall(r"'([A-Z]+>[A-Z]+)'", text)}
    assert written == {(before, after) for before, follow in TRANSITIONS.items() for after in follow}


def test_every_state_is_in_the_table_and_only_ended_ones_are_final() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert {state for state, follow in TRANSITIONS.items() if not follow} == ENDED


@pytest.mark.parametrize("verb", [after_cancel, after_pause, after_resume])
@pytest.mark.parametrize("state", JobState)
def test_verbs_lead_to_legal_states_or_refuse(verb: Any, state: JobState) -> None:
    try:
        after = verb("trainingJobs/a", state)
    except JobHasEnded:
        assert state in ENDED
    except JobIsPublishing:
        assert state is JobState.PUBLISHING
    except JobIsStopping:
        assert state in (JobState.PAUSING, JobState.CANCELLING)
    else:
        assert after is state or after in TRANSITIONS[state]
        # A repeated call changes nothing more.
        assert verb("trainingJobs/a", after) is after


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("state", sorted(LEASED))
def test_every_end_of_an_attempt_leads_to_a_legal_state(state: JobState, outcome: Outcome) -> None:
    verdict = ended(state, outcome)
    assert verdict.state in TRANSITIONS[state]
    assert verdict.state not in LEASED
    assert (verdict.failure is not None) == (verdict.state is JobState.FAILED)


def test_a_cancelled_job_gets_no_model_even_if_it_was_done() -> None:
    assert ended(JobState.CANCELLING, Outcome.SUCCEEDED).state is JobState.CANCELLED


def test_a_lost_attempt_of_a_pausing_job_rests() -> None:
    assert ended(JobState.PAUSING, Outcome.INFRASTRUCTURE_FAILURE).state is JobState.PAUSED


def test_losses_are_retried_later_and_later_until_the_budget_is_used_up() -> None:
    policy = RetryPolicy(budget=3, first_delay_s=1.0, longest_delay_s=3.0)
    verdicts = [
        ended(JobState.RUNNING, Outcome.INFRASTRUCTURE_FAILURE, lost_attempts=lost, policy=policy) for lost in range(4)
    ]
    assert [verdict.delay_s for verdict in verdicts[:3]] == [1.0, 2.0, 3.0]
    assert [verdict.lost_attempts for verdict in verdicts] == [1, 2, 3, 4]
    assert [verdict.state for verdict in verdicts] == [JobState.QUEUED] * 3 + [JobState.FAILED]
    failure = verdicts[-1].failure
    assert failure is not None
    assert failure.reason == "BROKEN"
    assert "broken" in failure.en


def test_giving_a_job_back_costs_no_retry() -> None:
    assert ended(JobState.RUNNING, Outcome.RELEASED, lost_attempts=2).lost_attempts == 2


def test_the_memory_ladder_keeps_the_effective_batch() -> None:
    values = Hyperparameters(per_device_train_batch_size=12, gradient_accumulation_steps=2)
    seen = []
    while (step := less_memory(values)) is not None:
        values = replace(values, **step)
        seen.append(
            (values.per_device_train_batch_size, values.gradient_accumulation_steps, values.gradient_checkpointing)
        )
    assert seen == [(6, 4, False), (3, 8, False), (1, 24, False), (1, 24, True)]


@pytest.mark.parametrize(
    ("stage", "steps"),
    [
        (0, []),
        (2, [{"offload_optimizer": "cpu"}]),
        (3, [{"offload_optimizer": "cpu"}, {"offload_param": "cpu"}]),
    ],
)
def test_the_memory_ladder_ends_with_what_deepspeed_can_move(stage: int, steps: list[dict[str, str]]) -> None:
    values = Hyperparameters(per_device_train_batch_size=1, gradient_checkpointing=True, deepspeed_stage=stage)
    seen = []
    while (step := less_memory(values)) is not None:
        seen.append(step)
        values = replace(values, **step)  # type: ignore[arg-type]
        assert values.problems() == []
    assert seen == steps


def test_without_a_smaller_step_lack_of_memory_fails() -> None:
    least = Hyperparameters(per_device_train_batch_size=1, gradient_checkpointing=True)
    assert ended(JobState.RUNNING, Outcome.OUT_OF_MEMORY, hyperparameters=least).failure == FAILURE


def test_adjustments_add_up() -> None:
    before = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    now = replace(Hyperparameters(), **before)  # type: ignore[arg-type]
    verdict = ended(JobState.RUNNING, Outcome.OUT_OF_MEMORY, hyperparameters=now, adjustments=before)
    assert verdict.adjustments == {**before, "gradient_checkpointing": True}
