"""Ranks that are forked from a process which has imported everything already: two of them start within a second."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.integration.trainer.conftest import Finished, Trainer, free_port

_PRELOADED = f"{__package__}.heavy_imports"


def run_ranks(trainer: Trainer, job: Path, output: str, ranks: int = 2) -> list[Finished]:
    """As Trainer.run_two, each rank in a process of its own."""
    places = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {} for rank in range(ranks)]
    return _run(job, [trainer.folder / output] * ranks, places)


def run_nodes(trainer: Trainer, job: Path, output: str) -> list[Finished]:
    """One rank on each of two nodes, which share no directory."""
    places = [{"RANK": str(node), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"} for node in range(2)]
    return _run(job, [trainer.folder / f"{output}-{node}" for node in range(2)], places)


def _run(job: Path, folders: Sequence[Path], places: Sequence[Mapping[str, str]]) -> list[Finished]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    shared = {"WORLD_SIZE": str(len(places)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    errors = [folder.with_name(f"{folder.name}-{rank}.stderr") for rank, folder in enumerate(folders)]
    started = [
        context.Process(target=_rank, args=(job, folder, shared | dict(place) if place else {}, error))
        for folder, place, error in zip(folders, places, errors, strict=True)
    ]
    for process in started:
        process.start()
    try:
        for process in started:
            process.join(timeout=240)
    finally:
        for process in started:
            process.kill()
            process.join()
    codes = [process.exitcode for process in started]
    return [
        Finished(-1 if code is None else code, folder, error.read_text(encoding="utf-8", errors="replace"))
        for code, folder, error in zip(codes, folders, errors, strict=True)
    ]


def _rank(job: Path, output: Path, environment: Mapping[str, str], errors: Path) -> None:
    os.environ |= {"OMP_NUM_THREADS": "1", **environment}
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 2)
    os.dup2(descriptor, 1)
    from services.training_service import deepspeed_config
    from services.training_service.trainer import ranks, samples
    from services.training_service.trainer.__main__ import main

    deepspeed_config.PERSISTENT_NUMBERS = 0  # tiny weights are shared out as large ones are
    deepspeed_config.GROUP_NUMBERS_ON_DISK = 300_000  # several groups, each large enough to lie on disk
    ranks._PIECE_BYTES = 1000  # files of tiny models go between nodes in several pieces too
    samples.MAX_NEW_TOKENS = 4  # each token of a sample gathers all weights that are shared out
    sys.exit(main([str(job), str(output)]))
