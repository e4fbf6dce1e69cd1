"""A running job as lines, where there is no terminal."""

import io

import pytest
from aift.cli.training_display import TrainingDisplay, state_word
from aift.training.v1 import training_pb2
from rich.console import Console


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIFT_LANG", "en")


def shown(*events: training_pb2.TrainingEvent, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=terminal, highlight=False, color_system=None)
    with TrainingDisplay(console) as display:
        for event in events:
            display.show(event)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def at_step(step: int) -> training_pb2.TrainingEvent:
    progress = training_pb2.TrainingProgress(
        phase=training_pb2.TRAINING_PHASE_TRAINING, step=step, total_steps=10, loss=0.5, tokens_per_second=1234
    )
    progress.remaining.FromSeconds(75)
    return training_pb2.TrainingEvent(progress=progress)


def state(value: training_pb2.TrainingJobState.ValueType) -> training_pb2.TrainingEvent:
    return training_pb2.TrainingEvent(state_changed=training_pb2.StateChanged(state=value))


def test_what_matters_is_in_one_line() -> None:
    assert "training · 3/10 · loss 0.500 · 1,234 tok/s · 1:15 left" in shown(at_step(3))


def test_the_use_of_gpus_is_told_where_there_are_any() -> None:
    values = {"gpu_utilization": 0.934, "gpu_memory_used_bytes": 21.3 * (1 << 30)}
    text = shown(training_pb2.TrainingEvent(metric=training_pb2.Metric(step=3, values=values)), at_step(3))
    assert "1,234 tok/s · GPU 93% 21.3 GiB · 1:15 left" in text


def test_a_job_that_succeeded_has_nothing_left_and_keeps_the_steps_that_were_done() -> None:
    last = shown(at_step(9), state(training_pb2.TRAINING_JOB_STATE_SUCCEEDED)).splitlines()[-1]
    assert last.startswith("succeeded · 9/10")
    assert "left" not in last


def test_remarks() -> None:
    recovery = training_pb2.Recovery(from_step=7)
    recovery.cause.reason = "WORKER_LOST"
    text = shown(
        training_pb2.TrainingEvent(checkpoint=training_pb2.Checkpoint(step=1200)),
        training_pb2.TrainingEvent(sample=training_pb2.Sample(step=5, text="[bold]一\n二")),
        training_pb2.TrainingEvent(recovery=recovery),
    )
    assert "checkpoint at step 1,200" in text
    assert "sample at step 5: [bold]一\n  二" in text
    assert "WORKER_LOST" in text
    assert "step 7" in text


def test_a_terminal_gets_a_bar() -> None:
    text = shown(at_step(3), terminal=True)
    assert "━" in text
    assert "3/10" in text


def test_every_state_has_words_in_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    states = training_pb2.TrainingJobState.values()[1:]
    english_words = {state_word(value) for value in states}
    monkeypatch.setenv("AIFT_LANG", "ja")
    japanese_words = {state_word(value) for value in states}
    assert len(english_words) == len(japanese_words) == len(states)
    assert not english_words & japanese_words
