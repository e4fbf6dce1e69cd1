"""The agent's parts: what it reads from the trainer, what it tells, and how it judges an end."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from aift.training.v1 import worker_pb2

from services.core import devices
from services.training_service.agent import ending, ranks
from services.training_service.agent.handover import Handover, read
from services.training_service.agent.node import Node
from services.training_service.agent.orders import Order, Orders
from services.training_service.agent.pace import Pace
from services.training_service.agent.report import LogBundle
from services.training_service.agent.tail import Tail, last_lines
from services.training_service.domain import Outcome
from services.training_service.trainer.events import Failed, Finished


def test_a_growing_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert list(tail.lines()) == []
    path.write_bytes("一行目\n二".encode())
    assert list(tail.lines()) == ["一行目"]
    with path.open("ab") as file:
        file.write("行目\n".encode())
    assert list(tail.lines()) == ["二行目"]
    assert list(tail.lines()) == []
    assert last_lines(path, 1) == ["二行目"]
    assert last_lines(tmp_path / "none", 1) == []


def test_log_lines_are_bundled_and_the_overflow_is_counted() -> None:
    bundle = LogBundle(10)
    assert bundle.add([f"line {n}" for n in range(25)]) == []
    told = bundle.take()
    assert told is not None
    assert list(told.lines) == [f"line {n}" for n in range(10)]
    assert told.dropped_lines == 15
    assert bundle.take() is None


def test_a_full_bundle_goes_at_once_and_odd_characters_do_not_stop_it() -> None:
    bundle = LogBundle(1000)
    full = bundle.add(["あ" * 10_000 for _ in range(20)])
    assert full
    assert all(line.endswith("…") and len(line) == 4000 for told in full for line in told.lines)
    bundle.add(["nul \0", "half \ud800"])
    told = bundle.take()
    assert told is not None
    assert list(told.lines)[-2:] == ["nul ␀", "half ?"]


def finished(outcome: str = "succeeded") -> Finished:
    """The trainer's last word when all went well."""
    return Finished(outcome=outcome, step=5, total_steps=9, metrics={"loss": 1.0})  # type: ignore[arg-type]


def failed(kind: str) -> Failed:
    """The trainer's last word when it did not."""
    return Failed(failure=kind, reason=f"R_{kind.upper()}", field="", en="no", ja="いいえ")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("succeeded", Outcome.SUCCEEDED),
        ("paused", Outcome.PAUSED),
        ("stopped", Outcome.CANCELLED),
        ("interrupted", Outcome.RELEASED),
    ],
)
def test_a_good_end_is_taken_at_its_word(said: str, outcome: Outcome) -> None:
    end = ending.judge(finished(said), [], {0: 0, 1: 0}, None)
    assert (end.outcome, end.step, end.total_steps, end.metrics) == (outcome, 5, 9, {"loss": 1.0})


def test_of_several_failures_the_cause_counts() -> None:
    end = ending.judge(None, [failed("infrastructure"), failed("out_of_memory")], {0: 10, 1: 11}, 0)
    assert end.outcome is Outcome.OUT_OF_MEMORY
    assert end.failure is not None
    assert end.failure.reason == "R_OUT_OF_MEMORY"
    assert ending.judge(None, [failed("data")], {0: 13}, 0).outcome is Outcome.INVALID
    full = replace(failed("infrastructure"), reason="DISK_FULL")
    end = ending.judge(None, [failed("infrastructure"), full], {0: 10, 1: 74}, 0)
    assert end.failure is not None
    assert end.failure.reason == "DISK_FULL"


def test_a_rank_that_died_without_a_word_is_named() -> None:
    end = ending.judge(None, [], {0: -signal.SIGKILL, 1: -signal.SIGKILL}, 1)
    assert end.outcome is Outcome.INFRASTRUCTURE_FAILURE
    assert end.failure is not None
    assert "Rank 1" in end.failure.en
    assert "SIGKILL" in end.failure.en


def test_a_crash_after_the_last_word_takes_nothing_from_it() -> None:
    assert ending.judge(finished(), [], {0: -signal.SIGSEGV, 1: 1}, 0).outcome is Outcome.SUCCEEDED


async def test_a_stronger_order_replaces_a_weaker_one() -> None:
    orders = Orders()
    orders.give(Order.PAUSE)
    assert await orders.next() is Order.PAUSE
    orders.give(Order.RELEASE)
    orders.give(Order.PAUSE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await orders.next()
    orders.give(Order.CANCEL)
    assert await orders.next() is Order.CANCEL
    assert not orders.broken_off.is_set()
    orders.take(worker_pb2.AGENT_COMMAND_END)
    orders.take(worker_pb2.AGENT_COMMAND_CANCEL)
    assert await orders.next() is Order.END
    assert orders.broken_off.is_set()


def test_a_handover_travels_whole(tmp_path: Path) -> None:
    assignment = worker_pb2.Assignment(attempt="trainingJobs/a/attempts/1", token="secret", fence=3)
    given = Handover(assignment=assignment, devices=("gpu-0", "gpu-3"), directory=tmp_path)
    path = tmp_path / "stdin"
    path.write_bytes(given.encode())
    with path.open("rb") as file:
        assert read(file) == given


def test_a_device_has_one_holder(tmp_path: Path) -> None:
    with devices.holding(tmp_path, ["gpu-0", "gpu-1"]):
        with pytest.raises(devices.DevicesTaken, match="gpu-1"), devices.holding(tmp_path, ["gpu-1"]):
            pass
        assert devices.free(tmp_path, ["gpu-0", "gpu-1", "gpu-2"]) == ["gpu-2"]
    assert devices.free(tmp_path, ["gpu-0", "gpu-1"]) == ["gpu-0", "gpu-1"]
    assert devices.gpu_indices([devices.CPU, devices.gpu(0), devices.gpu(11)]) == [0, 11]


SCRIPT = """
import os, sys, time
from pathlib import Path
rank, out = int(os.environ["RANK"]), Path(sys.argv[2])
(out / f"env-{rank}").write_text(repr(dict(os.environ)))
print("hello from", rank, flush=True)
if rank == int(sys.argv[1].rpartition("/")[2] or -1):
    sys.exit(7)
time.sleep(60)
"""


async def test_one_failing_rank_ends_all_in_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeping_trainer.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("AIFT_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    started = await ranks.Ranks.start(
        module="sleeping_trainer",
        job_file=tmp_path / "1",
        output=tmp_path,
        logs=tmp_path / "logs",
        node=Node(processes=3),
        gpus=[2, 5],
        locks=[],
    )
    groups = {os.getpgid(process.pid) for process in started._processes.values()}
    assert len(groups) == 1
    assert groups != {os.getpgrp()}
    begun = time.monotonic()
    statuses = await started.wait()
    assert time.monotonic() - begun < 40
    assert (started.first_failed, statuses[1]) == (1, 7)
    assert {statuses[0], statuses[2]} == {-signal.SIGKILL}
    told = eval((tmp_path / "env-1").read_text())
    assert told["RANK"] == told["LOCAL_RANK"] == "1"
    assert (told["WORLD_SIZE"], told["MASTER_ADDR"], told["CUDA_VISIBLE_DEVICES"]) == ("3", "127.0.0.1", "2,5")
    assert "secret" not in repr(told)
    assert last_lines(started.logs[1], 1) == ["hello from 1"]


async def test_ranks_are_numbered_node_by_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeping_trainer.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    node = Node(processes=2, number=1, count=3, master_address="first.example", master_port=29500)
    started = await ranks.Ranks.start(
        module="sleeping_trainer",
        job_file=tmp_path / "3",
        output=tmp_path,
        logs=tmp_path / "logs",
        node=node,
        gpus=[],
        locks=[],
    )
    statuses = await started.wait()
    assert (started.first_failed, statuses) == (3, {2: -signal.SIGKILL, 3: 7})
    assert "rank-3: hello from 3" in started.last_words(statuses)
    told = eval((tmp_path / "env-3").read_text())
    assert (told["RANK"], told["LOCAL_RANK"], told["WORLD_SIZE"], told["LOCAL_WORLD_SIZE"]) == ("3", "1", "6", "2")
    assert (told["MASTER_ADDR"], told["MASTER_PORT"]) == ("first.example", "29500")


def test_a_silence_is_told_once_and_measured_by_the_usual_pace() -> None:
    pace = Pace(least_s=5, now=0)
    for step in range(1, 5):
        pace.moved("training", step, now=float(step))
    assert pace.expected_s == 10
    assert pace.stall(now=13.9) is None
    stall = pace.stall(now=14.0)
    assert stall is not None
    assert (stall.step, stall.silent_s, stall.expected_s) == (4, 10, 10)
    assert pace.stall(now=100) is None, "told already"
    pace.moved("training", 5, now=100)
    assert pace.expected_s == 10, "a stall is not the usual pace"
    assert pace.stall(now=111) is not None
    pace.moved("saving", 5, now=200)
    assert pace.expected_s == 5, "another phase has a pace of its own"


def test_before_the_first_move_the_least_patience_counts() -> None:
    pace = Pace(least_s=5, now=0)
    assert pace.stall(now=4) is None
    assert pace.stall(now=5) is not None
