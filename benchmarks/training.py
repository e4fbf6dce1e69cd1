"""Training speed beside a bare TRL script: same model, rows, rank, effective batch, precision and threads.

    python -m benchmarks.training [--steps 300] [--rounds 2] [--threads 1] [--model DIR]

Runs the trainer as workers run it (a process of its own, events and all) and, in turns with it, TRL's SFTTrainer as
its documentation shows it, and prints tokens of rows (padding not counted) per second of training, and per second of
processor time, which is steadier where others use the machine. Loading, importing and tokenising are not counted on
either side.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from services.training_service.trainer import events

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "samples" / "data" / "sample_training_data.jsonl"
HELD_OUT = ROOT / "samples" / "data" / "sample_heldout_data.jsonl"
TINY = ROOT / "samples" / "models" / "tiny-ja"


@dataclass(frozen=True)
class Result:
    """One training."""

    tokens_per_second: float
    tokens_per_cpu_second: float
    tokens: int
    eval_loss: float
    """On held-out rows, measured the same way on both sides."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path, default=TINY)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job = write_job(Path(folder), options.model, options.steps, options.threads)
        ours, bare = [], []
        for turn in range(options.rounds):
            ours.append(run_ours(job, Path(folder) / f"out-{turn}"))
            bare.append(run_bare(job))
            print(
                f"round {turn + 1}: ours {ours[-1].tokens_per_second:.0f} tokens/s, TRL {bare[-1].tokens_per_second:.0f}"
            )
    report(ours, bare, options.model)


def report(ours: list[Result], bare: list[Result], model: Path) -> None:
    print(f"model {model.name}, {ours[-1].tokens} tokens (TRL counts {bare[-1].tokens})")
    for name, unit in (("tokens_per_second", "tokens/s"), ("tokens_per_cpu_second", "tokens/CPU s")):
        mine, theirs = (statistics.median(getattr(result, name) for result in side) for side in (ours, bare))
        print(f"{unit:14} ours {mine:8.0f}   bare TRL SFTTrainer {theirs:8.0f}   ratio {mine / theirs:.2f} (aim 1.0)")
    mine, theirs = (statistics.median(result.eval_loss for result in side) for side in (ours, bare))
    print(f"held-out loss  ours {mine:8.4f}   bare TRL SFTTrainer {theirs:8.4f}")


def write_job(folder: Path, model: Path, steps: int, threads: int) -> Path:
    path = folder / "job.json"
    hyperparameters = {"max_steps": steps, "learning_rate": 2e-3}
    description = {
        "base_model": {"path": str(model)},
        "dataset": {"path": str(ROWS)},
        "eval_dataset": {"path": str(HELD_OUT)},
        "hyperparameters": hyperparameters,
        "threads": threads,
    }
    path.write_text(json.dumps(description), encoding="utf-8")
    return path


def run_ours(job: Path, output: Path) -> Result:
    argv = [sys.executable, "-m", "services.training_service.trainer", str(job), str(output)]
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        cpu_seconds = _cpu_while_training(output / "events.jsonl", process)
    metrics = [line.event for line in events.read(output / "events.jsonl") if isinstance(line.event, events.Metric)]
    values = [event.values for event in metrics if "loss" in event.values]
    seconds = sum(v["step_seconds"] for v in values[1:])  # the clocks start with the first step told
    tokens = values[-1]["tokens"]
    counted = tokens - values[0]["tokens"]
    return Result(counted / seconds, counted / cpu_seconds, int(tokens), metrics[-1].values["eval_loss"])


def _cpu_while_training(path: Path, process: subprocess.Popen[bytes]) -> float:
    """Processor seconds of the trainer between the first step that it tells and the evaluation at the end."""
    watched, began, read = psutil.Process(process.pid), 0.0, 0
    while process.poll() is None:
        time.sleep(0.05)
        used = sum(watched.cpu_times()[:2])
        content = path.read_bytes()[read:] if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        read += len(whole)
        for line in whole.decode("utf-8").splitlines():
            event = events.decode(line).event
            if isinstance(event, events.Metric) and event.step > 0 and began == 0:
                began = used
            if isinstance(event, events.Progress) and event.phase == "evaluating" and event.step > 0:
                process.wait()
                return used - began
    raise SystemExit("the trainer ended early; run it by hand to see why")


def run_bare(job: Path) -> Result:
    argv = [sys.executable, "-m", "benchmarks.training_bare", str(job)]
    ended = subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    tokens = told["tokens"]
    return Result(tokens / told["seconds"], tokens / told["cpu_seconds"], tokens, told["eval_loss"])


if __name__ == "__main__":
    main()
