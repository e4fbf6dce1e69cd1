"""Blocks checked by several processes at once, answered in the order of the file."""

from __future__ import annotations

import fcntl
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Self

from services.core import lifeline
from services.data_service.validation.block_check import BlockCheck, Checked
from services.data_service.validation.blocks import Block, Span
from services.data_service.validation.rules import Rules

_MODULE = "services.data_service.validation.worker"
_PIPE_BYTES = 1 << 20
_AHEAD = 2
"""Blocks that wait for each process, so that none waits for us."""


class Alone:
    """Checks the blocks itself, one after another."""

    def __init__(self, rules: Rules, *, quick: bool = True) -> None:
        self._check = BlockCheck(rules, quick=quick)

    def check(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, Checked]]:
        """Every block with what became of it."""
        reached, line = 0, 0
        for block in blocks:
            rest = remaining(block, reached, line)
            if rest is None:
                continue
            checked = self._check.check(rest)
            reached, line = checked.end, checked.next_line
            yield block, checked
            if checked.ended:
                return


class Crew:
    """Checks blocks by `size` processes, which end with us."""

    def __init__(self, rules: Rules, size: int) -> None:
        self._size = size
        self._threads = ThreadPoolExecutor(size)
        self._workers = [_start() for _ in range(size)]
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for worker in self._workers:
            _widen(worker.stdout)
            _send(worker, rules)
            self._idle.put(worker)

    def check(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, Checked]]:
        """Every block with what became of it, in order."""
        source = iter(blocks)
        pending: deque[tuple[Block, Future[Checked]]] = deque()
        reached, line = 0, 0
        while True:
            while len(pending) < self._size * _AHEAD and (block := next(source, None)) is not None:
                pending.append((block, self._threads.submit(self._call, block)))
            if not pending:
                return
            block, future = pending.popleft()
            rest = remaining(block, reached, line)
            if rest is None:
                continue
            # A value went on from the block before: what was done of this one does not count.
            checked = future.result() if rest is block else self._call(rest)
            reached, line = checked.end, checked.next_line
            yield block, checked
            if checked.ended:
                return

    def _call(self, block: Block) -> Checked:
        worker = self._idle.get()
        try:
            _send(worker, block)
            if worker.stdout is None:
                raise AssertionError("the worker was started with pipes")
            checked: Checked = pickle.load(worker.stdout)  # noqa: S301 - written by our child
            return checked
        finally:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.communicate()  # its input ends, and so does it


def remaining(block: Block, reached: int, line: int) -> Block | None:
    """What is left of a block when a value of the block before went on into it; None when nothing is."""
    if isinstance(block, Span) and block.start < reached:
        return block.after(reached, line) if block.end > reached else None
    return block


def _start() -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # else numpy starts threads that nothing here uses
    argv = [sys.executable, "-m", _MODULE]
    return lifeline.popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _widen(pipe: IO[bytes] | None) -> None:
    """Lets a whole answer into the pipe, so that the worker goes on; where that is not allowed, it waits a little."""
    if pipe is not None:
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _send(worker: subprocess.Popen[bytes], value: Rules | Block) -> None:
    if worker.stdin is None:
        raise AssertionError("the worker was started with pipes")
    pickle.dump(value, worker.stdin, protocol=5)
    worker.stdin.flush()
