"""AIFT on this machine for the length of a demonstration: started, used, stopped, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from aift import AiftError, Client
from aift.language import text

STOP_WITHIN_S = 60
NOTICE_WITHIN_S = 20


class DemoSystemError(Exception):
    """The system did not start or did not stop; the message is for people."""


class DemoSystem:
    """The embedded system as a child process that also ends when this process is killed."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir.absolute()
        self.seconds_to_healthy = 0.0
        self._pids: list[int] = []

    def __enter__(self) -> "DemoSystem":
        self.state_dir.parent.mkdir(parents=True, exist_ok=True)
        self._stderr = tempfile.TemporaryFile()
        # The supervisor reads from this pipe only to learn that we are gone, however we went.
        watched, self._held = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "services.embedded", "up", "--json"),
                *("--ports", "auto", "--no-page", "--state-dir", self.state_dir),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "AIFT_LIFELINE_FD": str(watched)},
            pass_fds=[watched],
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop it in order
        )
        os.close(watched)
        try:
            self._await_healthy()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def client(self) -> Client:
        """A client with the address and the token of this system only."""
        return Client(state_dir=self.state_dir)

    def _await_healthy(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 (we asked for the pipe)
        line = self._process.stdout.readline()
        if not line.strip().startswith(b"{"):
            self._process.wait(STOP_WITHIN_S)
            raise DemoSystemError(self._said() or text("The system ended at once.", "システムがすぐに終了しました。"))
        told = json.loads(line)
        if "error" in told:
            raise DemoSystemError(told["error"]["message"])
        self.seconds_to_healthy = told["seconds_to_healthy"]
        self._pids = [process["pid"] for process in told["processes"] if process.get("pid")]

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._held)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()
        if left := self._left_behind():
            raise DemoSystemError(text(f"Processes were left behind: {left}", f"残っているプロセスがあります: {left}"))

    def _left_behind(self) -> list[int]:
        """Processes that are still there; after a kill they need a moment to notice."""
        deadline = time.monotonic() + NOTICE_WITHIN_S
        while left := [pid for pid in self._pids if _is_alive(pid)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return left

    def _said(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").strip()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def explain(error: AiftError | DemoSystemError, state_dir: Path) -> str:
    """What went wrong and where more stands."""
    message = str(error)
    logs = state_dir / "logs"
    return message + (text(f"\nLogs: {logs}", f"\nログ: {logs}") if logs.is_dir() else "")
