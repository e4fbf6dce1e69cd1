"""Training speed beside a bare TRL script: same model, rows, rank, effective batch, precision and threads.

    python -m benchmarks.training [--steps 150] [--rounds 2] [--threads 1] [--model DIR]

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
TINY = ROOT / "samples" / "models" / "tiny-ja"


@dataclass(frozen=True)
class Result:
    """One training."""

    tokens_per_second: float
    tokens_per_cpu_second: float
    tokens: int
    loss: float
    """Mean of the last tenth of the steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
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
    print(f"loss at the end ours {ours[-1].loss:.4f}   bare TRL SFTTrainer {bare[-1].loss:.4f}")


def write_job(folder: Path, model: Path, steps: int, threads: int) -> Path:
    path = folder / "job.json"
    hyperparameters = {"max_steps": steps, "learning_rate": 2e-3, "eval_split": 0.0}
    description = {
        "base_model": {"path": str(model)},
        "dataset": {"path": str(ROWS)},
        "hyperparameters": hyperparameters,
        "threads": threads,
    }
    path.write_text(json.dumps(description), encoding="utf-8")
    return path


def run_ours(job: Path, output: Path) -> Result:
    argv = [sys.executable, "-m", "services.training_service.trainer", str(job), str(output)]
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        began = _cpu_at_first(events.Metric, output, process)
        ended = _cpu_at_first(events.Finished, output, process)
    metrics = [line.event for line in events.read(output / "events.jsonl") if isinstance(line.event, events.Metric)]
    values = [event.values for event in metrics if "loss" in event.values][1:]  # the clocks start with the first
    seconds = sum(v["step_seconds"] for v in values)
    tokens = int(values[-1]["tokens"])
    counted = tokens * len(values) / (len(values) + 1)
    return Result(counted / seconds, counted / (ended - began), tokens, _end([v["loss"] for v in values]))


def _cpu_at_first(kind: type[events.Event], output: Path, process: subprocess.Popen[bytes]) -> float:
    """Processor seconds of the trainer when it first told something of this kind about a step."""
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        used = sum(watched.cpu_times()[:2])
        for line in events.read(output / "events.jsonl"):
            if isinstance(line.event, kind) and getattr(line.event, "step", 0) > 0:
                return used
        time.sleep(0.02)
    raise SystemExit("the trainer ended early; run it by hand to see why")


def run_bare(job: Path) -> Result:
    argv = [sys.executable, "-m", "benchmarks.training_bare", str(job)]
    ended = subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    tokens = told["tokens"]
    return Result(tokens / told["seconds"], tokens / told["cpu_seconds"], tokens, _end(told["losses"]))


def _end(losses: list[float]) -> float:
    return statistics.mean(losses[-max(1, len(losses) // 10) :])


if __name__ == "__main__":
    main()
