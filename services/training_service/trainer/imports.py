"""Keeps libraries that a job does not use from being imported by those that it does use.

transformers, accelerate and peft import datasets (with pandas), deepspeed and bitsandbytes wherever they are
installed. Each costs between one and three seconds at the start of every rank.
"""

from __future__ import annotations

import sys

from services.training_service.trainer.hyperparameters import Hyperparameters


def leave_out_unused(hyperparameters: Hyperparameters) -> None:
    """Call before the first import of transformers. A library left out looks as if it were not installed."""
    unused = ["datasets", "deepspeed"]
    if hyperparameters.method != "qlora":
        unused.append("bitsandbytes")
    for name in unused:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python says "not to be had"
