"""The supervisor keeps dummy processes alive, stops them in order, and leaves nothing behind."""

import asyncio
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from services.embedded.errors import StartFailed
from services.embedded.logfile import tail
from services.embedded.spec import Backoff, ProcessSpec
from services.embedded.supervisor import Supervisor

MakeSpec = Callable[..., ProcessSpec]
QUICK = Backoff(first_s=0.05, limit_s=0.4)


@asynccontextmanager
async def supervised(*specs: ProcessSpec, logs: Path, backoff: Backoff = QUICK) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(specs, logs=logs, backoff=backoff)
    supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def test_starts_all_and_logs_their_output(make_spec: MakeSpec, tmp_path: Path) -> None:
    async with supervised(make_spec("one"), make_spec("two"), logs=tmp_path) as supervisor:
        await supervisor.wait_ready(timeout_s=60)
        pids = [child.pid for child in supervisor.children]
        assert all(pid and psutil.pid_exists(pid) for pid in pids)
    assert not any(pid and psutil.pid_exists(pid) for pid in pids)
    assert tail(tmp_path / "one.log", 100)[0] == f"here {pids[0]} None"


async def test_environment_is_only_what_the_spec_says(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "not for children")
    async with supervised(make_spec("one"), logs=tmp_path) as supervisor:
        await supervisor.wait_ready(timeout_s=60)
    assert "not for children" not in (tmp_path / "one.log").read_text()


async def test_restarts_what_dies_with_growing_waits(make_spec: MakeSpec, tmp_path: Path) -> None:
    told: list[tuple[str, int, float]] = []
    spec = make_spec("one")
    supervisor = Supervisor(
        [spec], logs=tmp_path, backoff=QUICK, report=lambda name, status, delay: told.append((name, status, delay))
    )
    supervisor.start()
    try:
        for round_number in range(1, 4):
            await supervisor.wait_ready(timeout_s=60)
            with suppress(OSError):
                await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{spec.ports['http']}/crash")
            await until(lambda: len(told) == round_number)  # noqa: B023 - awaited in the same round
        await supervisor.wait_ready(timeout_s=60)
        assert told == [("one", 7, 0.05), ("one", 7, 0.1), ("one", 7, 0.2)]
        assert supervisor.children[0].restarts == 3
    finally:
        await supervisor.stop()


async def test_health_resets_the_wait(make_spec: MakeSpec, tmp_path: Path) -> None:
    told: list[float] = []
    supervisor = Supervisor(
        [make_spec("one")],
        logs=tmp_path,
        backoff=Backoff(first_s=0.01, limit_s=5, healthy_s=0.2),
        report=lambda name, status, delay: told.append(delay),
    )
    supervisor.start()
    try:
        for round_number in range(1, 4):
            await supervisor.wait_ready(timeout_s=60)
            await asyncio.sleep(0.3)
            supervisor.children[0].kill()
            await until(lambda: len(told) == round_number)  # noqa: B023
        assert told == [0.01] * 3
    finally:
        await supervisor.stop()


async def test_stages_stop_one_after_the_other(make_spec: MakeSpec, tmp_path: Path) -> None:
    mark = tmp_path / "stops"
    specs = [
        make_spec("store", "--mark", str(mark), stage=0),
        make_spec("page", "--mark", str(mark), "--slow-stop", "0.5", stage=2),
        make_spec("service", "--mark", str(mark), "--slow-stop", "0.2", stage=1),
    ]
    async with supervised(*specs, logs=tmp_path) as supervisor:
        await supervisor.wait_ready(timeout_s=60)
    order = [int(line.split()[0]) for line in mark.read_text().splitlines()]
    assert order == [specs[1].ports["http"], specs[2].ports["http"], specs[0].ports["http"]]


async def test_what_does_not_stop_is_killed_in_its_time(make_spec: MakeSpec, tmp_path: Path) -> None:
    async with supervised(make_spec("one", "--slow-stop", "60", stop_s=0.5), logs=tmp_path) as supervisor:
        await supervisor.wait_ready(timeout_s=60)
        pid = supervisor.children[0].pid
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 30
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_a_dead_process_leaves_nothing_of_its_group(make_spec: MakeSpec, tmp_path: Path) -> None:
    async with supervised(make_spec("one", "--child"), logs=tmp_path) as supervisor:
        await supervisor.wait_ready(timeout_s=60)
        child = int(tail(tmp_path / "one.log", 100)[0].split()[1])
        assert supervisor.children[0].pid is not None
        os.kill(supervisor.children[0].pid, signal.SIGKILL)
        await until(lambda: gone(child))


async def test_gives_up_on_what_dies_at_once_and_shows_its_words(tmp_path: Path) -> None:
    spec = ProcessSpec(name="broken", argv=(sys.executable, "-c", "raise SystemExit('no such luck')"), env={})
    spec = ProcessSpec(name="broken", argv=spec.argv, env={}, ready=never)
    async with supervised(spec, logs=tmp_path) as supervisor:
        with pytest.raises(StartFailed, match="no such luck"):
            await supervisor.wait_ready(timeout_s=60)


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    spec = ProcessSpec(name="absent", argv=("/nonexistent/program",), env={}, ready=never)
    async with supervised(spec, logs=tmp_path) as supervisor:
        with pytest.raises(StartFailed, match="FileNotFoundError"):
            await supervisor.wait_ready(timeout_s=60)


async def test_a_stop_during_preparation_does_not_wait_for_the_process(tmp_path: Path) -> None:
    begun = threading.Event()

    def prepare() -> list[str]:
        begun.set()
        time.sleep(0.5)
        return [sys.executable, "-c", "import time; time.sleep(60)"]

    started = time.monotonic()
    async with supervised(ProcessSpec(name="slow", argv=prepare, env={}), logs=tmp_path):
        await asyncio.to_thread(begun.wait)
    assert time.monotonic() - started < 30


async def test_not_ready_in_time_names_the_process(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = ProcessSpec(name="mute", argv=(sys.executable, "-c", "import time; time.sleep(60)"), env={}, ready=never)
    async with supervised(spec, make_spec("one"), logs=tmp_path) as supervisor:
        with pytest.raises(StartFailed, match="mute"):
            await supervisor.wait_ready(timeout_s=3)


async def never() -> bool:
    return False


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition is the test's
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
