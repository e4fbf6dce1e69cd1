"""Training speed beside TRL's SFTTrainer: same model, rows, rank, effective batch, precision and threads.

    python -m benchmarks.training [--steps 80] [--rounds 3] [--threads 1] [--batch 8] [--model DIR]

Runs the trainer as workers run it (a process of its own, events and all) and, in turns with it, SFTTrainer as its
documentation shows it, with its defaults and once more without gradient checkpointing, which is on by default there and
only costs time here. In a round all sides start from the same adapters and train the same rows in the same steps, so
that losses and gradient norms are to be the same within rounding; both are printed, with tokens of rows (padding not
counted) per second of training, and per second of processor time, which is steadier where others use the machine.
Loading, importing, tokenising and each side's first step are not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from services.training_service.trainer import events

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "samples" / "data" / "sample_training_data.jsonl"
HELD_OUT = ROOT / "samples" / "data" / "sample_heldout_data.jsonl"
TINY = ROOT / "samples" / "models" / "tiny-ja"
LAST = 10
"""Steps at the end over which training loss and gradient norm are averaged."""
OURS, DEFAULTS, FAST = "ours", "TRL, its defaults", "TRL, no checkpointing"


@dataclass(frozen=True)
class Result:
    """One training."""

    tokens_per_second: float
    tokens_per_cpu_second: float
    tokens: int
    loss: float
    """Of the last steps of training."""
    grad_norm: float
    """Of the last steps of training, before clipping."""
    eval_loss: float
    """On held-out rows, measured the same way on all sides."""
    losses: list[float]
    """Of each step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8, help="rows of a step; 8 is SFTTrainer's default")
    parser.add_argument("--model", type=Path, default=TINY)
    options = parser.parse_args()
    results: dict[str, list[Result]] = {OURS: [], DEFAULTS: [], FAST: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = job_of(options.model, options.steps, options.threads, options.batch)
        with peer() as trl:
            for seed in range(options.rounds):
                path = write(job, folder / f"job-{seed}.json", seed=seed)
                results[DEFAULTS].append(run_peer(trl, path, checkpointing=True))
                results[FAST].append(run_peer(trl, path, checkpointing=False))
                results[OURS].append(run_ours(path, folder / f"out-{seed}"))
                newest = ", ".join(f"{name} {found[-1].tokens_per_second:.0f}" for name, found in results.items())
                print(f"round {seed + 1}, tokens/s: {newest}", flush=True)
    report(results, options.model)


def report(results: dict[str, list[Result]], model: Path) -> None:
    """Medians over the rounds, how many times TRL's speed ours is, and how far losses lie apart."""
    middles = {name: _median(found) for name, found in results.items()}
    ours = middles[OURS]
    counts = ", ".join(f"{name} {found.tokens}" for name, found in middles.items())
    print(f"model {model.name}; tokens trained: {counts}")
    print(
        f"{'':22}{'tokens/s':>10}{'ratio':>7}{'per CPU s':>11}{'ratio':>7}{'loss':>9}{'grad norm':>11}{'held-out':>10}"
    )
    for name, found in middles.items():
        wall = ours.tokens_per_second / found.tokens_per_second
        cpu = ours.tokens_per_cpu_second / found.tokens_per_cpu_second
        print(
            f"{name:22}{found.tokens_per_second:10.0f}{wall:7.2f}{found.tokens_per_cpu_second:11.0f}{cpu:7.2f}"
            f"{found.loss:9.4f}{found.grad_norm:11.4f}{found.eval_loss:10.4f}"
        )
    print("ratio: ours to that line; the aim beside TRL's defaults is 2")
    for name in (DEFAULTS, FAST):
        pairs = list(zip(results[OURS], results[name], strict=True))
        steps = max(abs(a / b - 1) for one, other in pairs for a, b in zip(one.losses, other.losses, strict=True))
        held_out = max(abs(one.eval_loss / other.eval_loss - 1) for one, other in pairs)
        print(f"beside {name}: loss of a step differs by at most {steps:.1e}, held-out loss by {held_out:.1e}")


def _median(found: Sequence[Result]) -> Result:
    columns = {name: [asdict(result)[name] for result in found] for name in asdict(found[0])}
    middle = {name: statistics.median(values) for name, values in columns.items() if name != "losses"}
    return Result(**middle | {"tokens": found[-1].tokens, "losses": []})


def job_of(model: Path, steps: int, threads: int, batch: int) -> dict[str, Any]:
    """A job file's content, without a seed."""
    hyperparameters = {"max_steps": steps, "learning_rate": 2e-3, "per_device_train_batch_size": batch}
    return {
        "base_model": {"path": str(model)},
        "dataset": {"path": str(ROWS)},
        "eval_dataset": {"path": str(HELD_OUT)},
        "hyperparameters": hyperparameters,
        "threads": threads,
    }


def write(job: dict[str, Any], path: Path, *, seed: int) -> Path:
    """The job with a seed and a place for the adapters to start from, as a file."""
    seeded = job | {
        "hyperparameters": job["hyperparameters"] | {"seed": seed},
        "adapter": str(path.with_suffix(".adapter")),
    }
    path.write_text(json.dumps(seeded), encoding="utf-8")
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
    return Result(
        tokens_per_second=counted / seconds,
        tokens_per_cpu_second=counted / cpu_seconds,
        tokens=int(tokens),
        loss=statistics.fmean(v["loss"] for v in values[-LAST:]),
        grad_norm=statistics.fmean(v["grad_norm"] for v in values[-LAST:]),
        eval_loss=metrics[-1].values["eval_loss"],
        losses=[v["loss"] for v in values],
    )


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


@contextmanager
def peer() -> Iterator[subprocess.Popen[str]]:
    """TRL in a process of its own, imported and waiting."""
    argv = [sys.executable, "-m", "benchmarks.training_bare"]
    process = subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        _answer(process)
        yield process
    finally:
        process.kill()
        process.communicate()


def run_peer(process: subprocess.Popen[str], job: Path, *, checkpointing: bool) -> Result:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"job": str(job), "gradient_checkpointing": checkpointing}) + "\n")
    process.stdin.flush()
    return Result(**json.loads(_answer(process)))


def _answer(process: subprocess.Popen[str]) -> str:
    """The peer's next line that is meant for us; libraries print others."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(('{"', "{}")):
            return line
    raise SystemExit("TRL ended early; run python -m benchmarks.training_bare by hand to see why")


if __name__ == "__main__":
    main()
