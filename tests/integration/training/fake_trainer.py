"""A trainer that trains nothing, but speaks the same files: for tests of what surrounds it, where time matters.

The first sample prompt is a JSON object that says how it goes:
    steps, step_s       optimizer steps and the seconds that each takes
    resumed_step_s      the same in a run that goes on from a checkpoint
    save_every          steps between checkpoints; 0: none
    load_s              seconds before the first step
    hang_at, hang_s     stands still for some seconds before that step
    fail_at, failure    fails before that step with that kind of failure, while `fail_attempts` are not used up
    die_at, die_rank    that rank is killed before that step, in the first run only
    deaf                ignores control.json and SIGTERM
    lines               log lines to write at each step
    gates               a folder: where it holds no file "load", "train" or "finish", the trainer says "….reached" there
                        and waits before its first step, before the step `train_at`, and before it writes its result
    weights             bytes of a checkpoint
    result              bytes of the result
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.core import lifeline
from services.training_service.trainer import control, events, failures
from services.training_service.trainer.__main__ import describe, exit_code_of
from services.training_service.trainer.job import JobFile, load


def main() -> int:
    """Runs one rank."""
    lifeline.attach()
    job, output = load(Path(sys.argv[1])), Path(sys.argv[2])
    how = json.loads(job.sample_prompts[0]) if job.sample_prompts else {}
    if int(os.environ["RANK"]) != 0:
        return _follow(how, output)
    trainer = Trainer(job, how, output)
    try:
        return trainer.run()
    except OSError as error:
        return trainer.fail(error)


def _follow(how: dict[str, Any], output: Path) -> int:
    """Other ranks only live and die."""
    rank, parent = int(os.environ["RANK"]), os.getppid()
    while not (output / "over").exists() and os.getppid() == parent:
        marked = output / f"die-{rank}"
        if marked.exists() and how.get("die_rank") == rank:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
    return 0


class Trainer:
    """Rank 0."""

    def __init__(self, job: JobFile, how: dict[str, Any], output: Path) -> None:
        self._job = job
        self._how = how
        self._output = output
        self._events = events.EventWriter(output / "events.jsonl")
        self._control = control.ControlFile(output)
        self._told_to_end = control.TerminationFlag()
        self._steps = int(how.get("steps", 10))
        self._start = 0
        if job.checkpoint:
            self._start = int(json.loads((Path(job.checkpoint) / "state.json").read_text())["step"])
        step_s = float(how.get("step_s", 0.02))
        self._step_s = float(how.get("resumed_step_s", step_s)) if self._start else step_s

    def run(self) -> int:
        if not self._how.get("deaf"):
            self._told_to_end.install()
        else:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._events.write(events.Progress(phase="loading_model", fraction=0.0))
        self._events.write(events.Log(level="INFO", lines=[f"環境 {sorted(os.environ)}"]))
        time.sleep(float(self._how.get("load_s", 0.0)))
        self._gate("load")
        for step in range(self._start + 1, self._steps + 1):
            ended = self._step(step)
            if ended is not None:
                (self._output / "over").touch()
                return ended
        self._gate("finish")
        self._finish()
        (self._output / "over").touch()
        return 0

    def fail(self, error: OSError) -> int:
        """As the real trainer ends."""
        failed = describe(error)
        with suppress(OSError):
            self._events.write(failed)
        return exit_code_of(failed)

    def _gate(self, name: str) -> None:
        if "gates" not in self._how:
            return
        gate = Path(self._how["gates"]) / name
        while not gate.exists() and not self._told_to_end.raised:
            gate.with_suffix(".reached").touch()
            time.sleep(0.02)

    def _step(self, step: int) -> int | None:
        if step == self._how.get("train_at"):
            self._gate("train")
        self._maybe_die(step)
        failed = self._maybe_fail(step)
        if failed is not None:
            return failed
        time.sleep(float(self._how.get("hang_s", 0.0)) if step == self._how.get("hang_at") else 0.0)
        time.sleep(self._step_s)
        self._events.write(
            events.Progress(
                phase="training", fraction=step / self._steps, step=step, total_steps=self._steps, loss=1 / step
            )
        )
        batch = self._job.hyperparameters.per_device_train_batch_size
        self._events.write(
            events.Metric(step=step, epoch=step / self._steps, values={"loss": 1 / step, "batch": batch})
        )
        for line in range(int(self._how.get("lines", 0))):
            self._events.write(events.Log(level="INFO", lines=[f"step {step} line {line}"]))
        every = int(self._how.get("save_every", 5))
        if every and step % every == 0:
            self._save(step)
        return self._obey(step)

    def _obey(self, step: int) -> int | None:
        if self._how.get("deaf"):
            return None
        command = control.Command.INTERRUPT if self._told_to_end.raised else self._control.read()
        if command in (control.Command.PAUSE, control.Command.INTERRUPT):
            self._save(step)
        outcomes = {
            control.Command.PAUSE: "paused",
            control.Command.INTERRUPT: "interrupted",
            control.Command.STOP: "stopped",
        }
        if command not in outcomes:
            return None
        self._events.write(
            events.Finished(outcome=outcomes[command], step=step, total_steps=self._steps, metrics={})  # type: ignore[arg-type]
        )
        return 0

    def _maybe_die(self, step: int) -> None:
        if step == self._how.get("die_at") and self._start == 0:
            rank = int(self._how.get("die_rank", 0))
            if rank == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            (self._output / f"die-{rank}").touch()
            time.sleep(5)

    def _maybe_fail(self, step: int) -> int | None:
        if step != self._how.get("fail_at"):
            return None
        enough = self._how.get("enough_memory_at_batch")
        if enough is not None and self._job.hyperparameters.per_device_train_batch_size <= enough:
            return None
        kind = self._how.get("failure", "infrastructure")
        self._events.write(
            events.Failed(
                failure=kind, reason="TOLD_TO_FAIL", field="", en="told to fail", ja="指示により失敗", detail="trace"
            )
        )
        return failures.EXIT_CODES[kind]

    def _save(self, step: int) -> None:
        folder = self._output / "checkpoints" / f"step-{step}"
        if folder.exists():
            return
        beside = folder.with_name(f".step-{step}")
        beside.mkdir(parents=True, exist_ok=True)
        (beside / "state.json").write_text(json.dumps({"step": step}))
        (beside / "weights.bin").write_bytes(bytes(int(self._how.get("weights", 1000))) + step.to_bytes(4, "big"))
        beside.rename(folder)
        self._events.write(events.Checkpoint(step=step, path=f"checkpoints/step-{step}", eval_loss=1 / step))

    def _finish(self) -> None:
        model = self._output / "model"
        model.mkdir(parents=True, exist_ok=True)
        (model / "adapter_config.json").write_text("{}")
        weights = b"weights " + str(self._steps).encode() + bytes(int(self._how.get("result", 0)))
        (model / "adapter_model.safetensors").write_bytes(weights)
        (model / "template.json").write_text(json.dumps(self._job.template))
        self._events.write(events.Sample(step=self._steps, prompt="質問", text="回答です"))
        self._events.write(
            events.Finished(
                outcome="succeeded",
                step=self._steps,
                total_steps=self._steps,
                metrics={"eval_loss": 0.5, "base_eval_loss": 2.0, "resumed_from": float(self._start)},
            )
        )


if __name__ == "__main__":
    sys.exit(main())
