"""What must be settled before torch and transformers are imported."""

from __future__ import annotations

import importlib.util
import os
import sys

from services.training_service.trainer.failures import configuration
from services.training_service.trainer.hyperparameters import Hyperparameters


def settle_threads(threads: int, ranks: int) -> None:
    """Fixes the CPU threads of this rank: as the job says, or the cores shared by the machine's ranks.

    Threads that wait sleep instead of spinning: where other processes want the cores too (services, other ranks),
    spinning made training ten times slower; on idle cores it gains little.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads or max(1, cores() // ranks))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_bitsandbytes(hyperparameters: Hyperparameters) -> None:
    """Raises ConfigurationError where weights or moments are to be held in few bits and bitsandbytes is not installed."""
    if not hyperparameters.needs_bitsandbytes or importlib.util.find_spec("bitsandbytes") is not None:
        return
    command = "pip install 'aift[train]'"
    raise configuration(
        "BITSANDBYTES_MISSING",
        "hyperparameters.method" if hyperparameters.method == "qlora" else "hyperparameters.optim",
        f"bitsandbytes is not installed on this machine; install it with: {command}",
        f"このマシンに bitsandbytes がありません。次のコマンドで入れてください: {command}",
    )


def leave_out_unused(hyperparameters: Hyperparameters) -> None:
    """Keeps libraries that the job does not use from being imported by those that it does use.

    transformers, accelerate and peft import datasets (with pandas), deepspeed and bitsandbytes wherever they are
    installed; each costs one to three seconds at the start of every rank. A library left out looks as if it were not
    installed.
    """
    unused = ["datasets"]
    if not hyperparameters.deepspeed_stage:
        unused.append("deepspeed")
    if not hyperparameters.needs_bitsandbytes:
        unused.append("bitsandbytes")
    for name in unused:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python says "not to be had"
