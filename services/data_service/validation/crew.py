"""Blocks checked by several processes at once, answered in the order of the file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import NamedTuple, Self

from services.data_service.validation.block_check import BlockCheck, Checked
from services.data_service.validation.blocks import Block, Span
from services.data_service.validation.canonical import Packer
from services.data_service.validation.rules import Rules
from services.data_service.validation.workers import Worker, keep_memory

_AHEAD = 2
"""Blocks that are under way for each process, so that none waits."""


class _Task(NamedTuple):
    block: Block
    future: Future[Checked]


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
    """Checks blocks by several processes, ours among them."""

    def __init__(self, rules: Rules, workers: Sequence[Worker]) -> None:
        keep_memory()
        self._check = BlockCheck(rules, packer=Packer())
        self._ahead = (1 + len(workers)) * _AHEAD
        self._threads = ThreadPoolExecutor(len(workers))
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in workers:
            worker.send(rules)
            self._idle.put(worker)

    def check(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, Checked]]:
        """Every block with what became of it, in order."""
        source = iter(blocks)
        tasks: deque[_Task] = deque()
        reached, line = 0, 0
        while True:
            while len(tasks) < self._ahead and (block := next(source, None)) is not None:
                tasks.append(_Task(block, self._threads.submit(self._call, block)))
            if not tasks:
                return
            self._help(tasks)
            block, future = tasks.popleft()
            rest = remaining(block, reached, line)
            if rest is None:
                continue
            # A value went on from the block before: what was done of this one does not count.
            checked = future.result() if rest is block else self._check.check(rest)
            reached, line = checked.end, checked.next_line
            yield block, checked
            if checked.ended:
                return

    def _help(self, tasks: deque[_Task]) -> None:
        """Takes over what no worker has begun as long as the first task is not done."""
        while not tasks[0].future.done():
            number = next((number for number, task in enumerate(tasks) if task.future.cancel()), None)
            if number is None:
                return
            done: Future[Checked] = Future()
            done.set_result(self._check.check(tasks[number].block))
            tasks[number] = _Task(tasks[number].block, done)

    def _call(self, block: Block) -> Checked:
        worker = self._idle.get()
        try:
            worker.send(block)
            checked: Checked = worker.receive()
            return checked
        finally:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)


def remaining(block: Block, reached: int, line: int) -> Block | None:
    """What is left of a block when a value of the block before went on into it; None when nothing is."""
    if isinstance(block, Span) and block.start < reached:
        return block.after(reached, line) if block.end > reached else None
    return block
