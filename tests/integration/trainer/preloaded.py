"""Ranks that are forked from a process which has imported everything already: two of them start within a second."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.integration.trainer.conftest import Finished, Trainer, free_port

_PRELOADED = f"{__package__}.heavy_imports"


def run_ranks(trainer: Trainer, job: Path, output: str, ranks: int = 2) -> list[Finished]:
    """As Trainer.run_two, each rank in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    folder = trainer.folder / output
    shared = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    environments = [shared | {"RANK": str(r), "LOCAL_RANK": str(r)} if ranks > 1 else {} for r in range(ranks)]
    errors = [trainer.folder / f"{output}-{rank}.stderr" for rank in range(ranks)]
    started = [
        context.Process(target=_rank, args=(job, folder, environment, error))
        for environment, error in zip(environments, errors, strict=True)
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
        for code, error in zip(codes, errors, strict=True)
    ]


def _rank(job: Path, output: Path, environment: Mapping[str, str], errors: Path) -> None:
    os.environ |= {"OMP_NUM_THREADS": "1", **environment}
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 2)
    os.dup2(descriptor, 1)
    from services.training_service import deepspeed_config
    from services.training_service.trainer import evaluate
    from services.training_service.trainer.__main__ import main

    deepspeed_config.PERSISTENT_NUMBERS = 0  # tiny weights are shared out as large ones are
    evaluate.MAX_NEW_TOKENS = 4  # each token of a sample gathers all weights that are shared out
    sys.exit(main([str(job), str(output)]))
