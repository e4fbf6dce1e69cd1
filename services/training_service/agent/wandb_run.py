"""python -m services.training_service.agent.wandb_run: one run of Weights & Biases, as the agent tells it.

Standard input: a line of JSON that says what the run is, then one for each metric, `{"exit_code": 0 or 1}` last. What
people should know goes to standard output, a line each. A process of its own, so that whatever the library does, or
does not do, stays here.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from aift.measurements import chart_name

from services.core import lifeline

SAID_WHY = 1
"""Exit status of a run that ended early and told why."""

_STEP = "train/step"
_ANSWERS_WITHIN_S = 20.0


def main() -> int:
    """Runs until standard input ends; 0 when all of it arrived."""
    lifeline.attach()
    # What the library prints must not look like our words.
    words = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        return _mirror(sys.stdin, words)
    except Exception as error:  # noqa: BLE001 - told, and nobody else is hurt
        words.write(f"WARNING {type(error).__name__}: {_without_key(str(error))}\n")
        return SAID_WHY


def _mirror(given: Iterable[str], words: IO[str]) -> int:
    lines = (json.loads(line) for line in given)
    run = _begin(next(lines))
    # Attempts go on from a checkpoint: a step may be told twice, which the library's own counter does not take.
    run.define_metric(_STEP, hidden=True)
    run.define_metric("*", step_metric=_STEP)
    if run.url:
        words.write(f"{run.url}\n")
    exit_code = 1
    for line in lines:
        exit_code = line.get("exit_code", exit_code)
        if "values" in line:
            run.log(_charts(line))
    folder, offline = Path(run.dir).parent, run.offline
    run.finish(exit_code=exit_code)
    if not offline:  # all of it has arrived
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _begin(what: dict[str, Any]) -> Any:
    import wandb

    settings = wandb.Settings(
        # Nothing of the machine, the program or its output goes there, only what is measured.
        console="off",
        disable_code=True,
        disable_git=True,
        init_timeout=_ANSWERS_WITHIN_S,
        silent=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    return wandb.init(**what, resume="allow", settings=settings)


def _charts(metric: dict[str, Any]) -> dict[str, float]:
    values = {chart_name(name): value for name, value in metric["values"].items()}
    return {_STEP: metric["step"], "train/epoch": metric["epoch"], **values}


def _without_key(text: str) -> str:
    key = os.environ.get("WANDB_API_KEY")
    shown = text.replace(key, "…") if key else text
    return " ".join(shown.split())[:500]


if __name__ == "__main__":
    sys.exit(main())
