"""Event files: whole lines, numbered without gaps, also after a kill in the middle of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.training_service.trainer import events
from services.training_service.trainer.events import Checkpoint, EventWriter, Finished, Log, Metric, Progress, Sample

ALL = (
    Progress(phase="training", fraction=0.5, step=3, total_steps=6),
    Metric(step=3, epoch=0.5, values={"loss": 1.25}),
    Checkpoint(step=3, path="checkpoints/step-3"),
    Sample(step=3, prompt="首都は？", text="東京。\n"),
    Log(level="INFO", lines=["一", "二"]),
    events.Failed(failure="data", reason="NO_ROWS", field="dataset", en="no rows", ja="行がありません"),
    Finished(outcome="succeeded", step=6, total_steps=6, metrics={}),
)


def test_every_kind_comes_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    for event in ALL:
        writer.write(event)
    writer.close()
    lines = list(events.read(path))
    assert tuple(line.event for line in lines) == ALL
    assert [line.seq for line in lines] == list(range(1, len(ALL) + 1))
    assert {type(event) for event in ALL} == set(events.KINDS.values())


def test_an_unfinished_line_is_not_read_and_cut_off_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(ALL[0])
    writer.close()
    with path.open("ab") as file:
        file.write(b'{"seq": 2, "kind": "met')
    assert len(list(events.read(path))) == 1
    writer = EventWriter(path)
    writer.write(ALL[1])
    writer.close()
    assert [(line.seq, line.event) for line in events.read(path)] == [(1, ALL[0]), (2, ALL[1])]


def test_no_file_yet_has_no_events(tmp_path: Path) -> None:
    assert list(events.read(tmp_path / "events.jsonl")) == []


@pytest.mark.parametrize(
    "line", ["{}", '{"seq": 1, "time": "", "kind": "other"}', '{"seq": 1, "time": "", "kind": "log"}']
)
def test_a_line_that_is_no_event(line: str) -> None:
    with pytest.raises(ValueError, match="not an event"):
        events.decode(line)
