"""python -m services.training_service.agent.wandb_run FILE: one run of Weights & Biases, as the agent tells it.

The growing file: a line of JSON that says what the run is, then one for each metric, `{"exit_code": 0 or 1}` last. What
people should know goes to standard output, a line each. A process of its own, so that whatever the library does, or
does not do, stays here.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from aift.measurements import chart_name

from services.core import lifeline

SAID_WHY = 1
"""Exit status of a run that ended early and told why."""
NOT_REACHED = 75
"""Exit status of a run that did not begin, because nobody answered."""

_STEP = "train/step"
_LOOK_EVERY_S = 0.5


def main() -> int:
    """Runs until the file's last line; 0 when all of it arrived."""
    lifeline.attach()
    # What the library prints must not look like our words.
    words = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        return _mirror(_follow(Path(sys.argv[1])), words)
    except Exception as error:  # noqa: BLE001 - told, and nobody else is hurt
        words.write(f"WARNING {type(error).__name__}: {_without_key(str(error))}\n")
        return SAID_WHY


def _follow(path: Path) -> Iterator[dict[str, Any]]:
    """What the agent tells, as it comes, a line at a time however many there are."""
    with path.open("rb") as file:
        while True:
            line = file.readline()
            if line.endswith(b"\n"):
                told = json.loads(line)
                yield told
                if "exit_code" in told:
                    return
            else:
                file.seek(-len(line), os.SEEK_CUR)
                time.sleep(_LOOK_EVERY_S)


def _mirror(told: Iterator[dict[str, Any]], words: IO[str]) -> int:
    run = _begin(next(told))
    if run is None:
        return NOT_REACHED
    # Attempts go on from a checkpoint: a step may be told twice, which the library's own counter does not take.
    run.define_metric(_STEP, hidden=True)
    run.define_metric("*", step_metric=_STEP)
    if run.url:
        words.write(f"{run.url}\n")
    exit_code = 1
    for message in told:
        exit_code = message.get("exit_code", exit_code)
        if "values" in message:
            run.log(_charts(message))
    folder, offline = Path(run.dir).parent, run.offline
    run.finish(exit_code=exit_code)
    if not offline:  # all of it has arrived
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _begin(what: dict[str, Any]) -> Any:
    """The library's run; None where nobody answers. A second try in one process would wait for the first for ever."""
    import wandb

    settings = wandb.Settings(
        # Nothing of the machine, the program or its output goes there, only what is measured.
        console="off",
        disable_code=True,
        disable_git=True,
        silent=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    before = set(_left(what["id"]))
    try:
        return wandb.init(**what, resume="allow", settings=settings)
    except wandb.errors.AuthenticationError:
        raise
    except wandb.errors.CommError as error:
        print(_without_key(str(error)), file=sys.stderr)
        for empty in set(_left(what["id"])) - before:
            shutil.rmtree(empty, ignore_errors=True)
        return None


def _left(id_: str) -> Iterator[Path]:
    """What tries to reach it have left here."""
    return Path.cwd().glob(f"run-*-{id_}")


def _charts(metric: dict[str, Any]) -> dict[str, float]:
    values = {chart_name(name): value for name, value in metric["values"].items()}
    return {_STEP: metric["step"], "train/epoch": metric["epoch"], **values}


def _without_key(text: str) -> str:
    key = os.environ.get("WANDB_API_KEY")
    shown = text.replace(key, "…") if key else text
    return " ".join(shown.split())[:500]


if __name__ == "__main__":
    # At a usual exit the library waits for minutes for a server that never answered. Its own process goes with us.
    os._exit(main())
