"""Children that never outlive their parent, whatever ends it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.core import lifeline

# A parent that starts what the test names, tells the pids of its whole family, and waits.
PARENT = """
import subprocess, sys, time, psutil
from services.core import lifeline
lifeline.attach()
child = lifeline.popen(sys.argv[1:])
def family():
    return [p.pid for p in psutil.Process().children(recursive=True)]
wanted = int(__import__("os").environ["WANTED"])
deadline = time.monotonic() + 20
while len(family()) < wanted and time.monotonic() < deadline:
    time.sleep(0.02)
print(*family(), flush=True)
time.sleep(600)
"""
CHILD = "from services.core import lifeline; lifeline.attach(grace_s={grace}); {body}; import time; time.sleep(600)"
SLEEPER = [sys.executable, "-c", CHILD.format(grace=0.3, body="pass")]
DEAF = [
    sys.executable,
    "-c",
    CHILD.format(grace=0.3, body="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"),
]
NESTED = [sys.executable, "-c", PARENT, *SLEEPER]
GUARDED = [sys.executable, "-m", "services.core.lifeline", "--signal", "INT", "--grace", "0.3", "--", "sleep", "600"]
DEAF_SHELL = "trap '' INT TERM; sleep 600 & wait; sleep 600"
GUARDED_DEAF = [*GUARDED[:-2], "sh", "-c", DEAF_SHELL]


def gone(pids: list[int], within_s: float = 60) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def family() -> Iterator[Callable[..., tuple[int, list[int]]]]:
    """Starts a parent with a child; returns its pid and the pids below it. What a failing test leaves is killed."""
    everyone: list[int] = []
    parents: list[subprocess.Popen[str]] = []

    def begin(child: list[str], wanted: int = 1) -> tuple[int, list[int]]:
        env = dict(os.environ, WANTED=str(wanted))
        parent = subprocess.Popen([sys.executable, "-c", PARENT, *child], env=env, stdout=subprocess.PIPE, text=True)
        parents.append(parent)
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        everyone.extend([parent.pid, *pids])
        assert len(pids) == wanted
        return parent.pid, pids

    yield begin
    for pid in everyone:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    for parent in parents:
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
@pytest.mark.parametrize(
    ("child", "wanted"),
    [(SLEEPER, 1), (DEAF, 1), (NESTED, 2), (GUARDED, 2), (GUARDED_DEAF, 3)],
    ids=["child", "deaf child", "grandchild", "guarded", "guarded and deaf"],
)
def test_nothing_outlives_a_parent(
    family: Callable[..., tuple[int, list[int]]],
    child: list[str],
    wanted: int,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANTED", "1")
    parent, pids = family(child, wanted)
    os.kill(parent, number)
    assert gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_killed_guard_takes_its_program_along(family: Callable[..., tuple[int, list[int]]]) -> None:
    _, (guard, program) = family(GUARDED, 2)
    os.kill(guard, signal.SIGKILL)
    assert gone([program])


def test_a_guard_passes_the_stop_signal_and_the_status_on(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"trap 'echo INT > {told}; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    argv = [sys.executable, "-m", "services.core.lifeline", "--signal", "INT", "--", "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, process_group=0) as guard:
        assert guard.stdout is not None
        assert guard.stdout.readline() == b"ready\n"
        guard.terminate()
        assert guard.wait(10) == 7
    assert told.read_text() == "INT\n"


def test_attach_without_a_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lifeline.ENV, raising=False)
    assert lifeline.attach() is False


def test_the_lifeline_is_not_inherited_further() -> None:
    script = (
        "import os, subprocess, sys; from services.core import lifeline; fd = int(os.environ[lifeline.ENV]);"
        "lifeline.attach(); assert lifeline.ENV not in os.environ;"
        "sys.exit(subprocess.run(['test', '-e', f'/dev/fd/{fd}'], close_fds=False).returncode)"
    )
    assert lifeline.popen([sys.executable, "-c", script]).wait(20) == 1


async def test_a_child_has_a_group_of_its_own_and_ends_when_told() -> None:
    child = await lifeline.spawn([*SLEEPER])
    assert os.getpgid(child.pid) == child.pid
    assert await lifeline.end(child, grace_s=5) == -signal.SIGTERM


async def test_a_child_that_does_not_listen_is_killed_with_its_group() -> None:
    script = "trap '' TERM; sleep 600 & echo $!; wait; sleep 600"
    child = await lifeline.spawn(["sh", "-c", script], stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    grandchild = int(await child.stdout.readline())
    assert await lifeline.end(child, grace_s=0.3) == -signal.SIGKILL
    assert await asyncio.to_thread(gone, [grandchild])


async def test_ranks_can_share_a_group() -> None:
    first = await lifeline.spawn(SLEEPER)
    second = await lifeline.spawn(SLEEPER, process_group=first.pid)
    assert os.getpgid(second.pid) == first.pid
    lifeline.signal_group(first.pid, signal.SIGKILL)
    assert await first.wait() == await second.wait() == -signal.SIGKILL
    lifeline.signal_group(first.pid, signal.SIGKILL)
