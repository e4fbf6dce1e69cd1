"""Processes that a test looks for."""

from __future__ import annotations

import os
from contextlib import suppress

import psutil


def descendants(word: str, of: int | None = None) -> list[psutil.Process]:
    """Living processes below the process `of` (ours by default) with `word` in their command line, eldest first."""
    found = []
    for process in psutil.Process(of or os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ends while we look, or has ended and waits for its parent
            if word in " ".join(process.cmdline()):
                found.append(process)
    return found


def memory(pid: int) -> int:
    """Bytes that a process and its children take, pages that several share counted once; 0 where it has ended."""
    total = 0
    try:
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            total += each.memory_full_info().pss
    except psutil.Error:
        return total
    return total
