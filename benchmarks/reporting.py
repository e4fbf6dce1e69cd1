"""What reporting, checkpoints and heartbeats cost, as a share of the training itself.

    python benchmarks/reporting.py [--steps 200] [--save-every 50] [--json]

One job of tiny-ja in the whole system, every step told and watched: processor time of the agent and of the training
service while the job trains, less what the service takes when nothing trains, as a share of the trainer's own in the
same time. Processor time, since the aim must not hang on who else uses the machine. Exit code 1 when the share misses
its aim.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, replace

import psutil
from running_system import Running, running_system

AIM = 0.02
_IDLE_S = 15.0


@dataclass
class Spent:
    """Processor time in seconds, and when it was read."""

    agent: float
    service: float
    trainer: float
    at: float

    def __sub__(self, before: Spent) -> Spent:
        return Spent(
            self.agent - before.agent, self.service - before.service, self.trainer - before.trainer, self.at - before.at
        )


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running_system() as system:
        idle = _idle(system)
        spent = _train(system, options.steps, options.save_every)
    spent = replace(spent, service=spent.service - idle * spent.at)
    share = (spent.agent + spent.service) / spent.trainer
    if options.json:
        print(json.dumps({"share": share, **vars(spent)}))
    else:
        print(f"load {os.getloadavg()[0]:.1f}; {options.steps} steps, a checkpoint every {options.save_every}")
        print(
            f"processor time in {spent.at:.0f} s: trainer {spent.trainer:.1f} s, agent {spent.agent:.2f} s, "
            f"service {spent.service:.2f} s beyond its idle {100 * idle:.1f} % of a core"
        )
        print(f"share {100 * share:.1f} % (aim {100 * AIM:.0f} %)" + ("" if share <= AIM else ": MISSED"))
    return 0 if share <= AIM else 1


def _idle(system: Running) -> float:
    """Processor seconds a second of a service that has nothing to do."""
    service = psutil.Process(system.pid("training"))
    began, before = time.monotonic(), sum(service.cpu_times()[:2])
    time.sleep(_IDLE_S)
    return (sum(service.cpu_times()[:2]) - before) / (time.monotonic() - began)


def _train(system: Running, steps: int, save_every: int) -> Spent:
    """What was spent between the first step and the last."""
    settings = {"max_steps": steps, "save_steps": save_every, "logging_steps": 1, "eval_split": 0.0}
    spec = system.client.training.spec("tiny-ja", system.dataset_version, settings, model="models/reporting")
    system.client.training.create(spec, job_id="reporting")
    began = ended = None
    for event in system.client.training.watch("reporting"):
        if not event.HasField("metric"):
            continue
        if began is None:
            processes = _processes(system)
            began = _spent(processes)
        elif event.metric.step >= steps - 2:
            ended = ended or _spent(processes)
    if began is None or ended is None:
        raise SystemExit("the job ended before it could be measured")
    return ended - began


def _processes(system: Running) -> tuple[psutil.Process, psutil.Process, psutil.Process]:
    """Agent, service, trainer."""
    mine = psutil.Process(system.pid("worker")).children(recursive=True)
    agent = next(process for process in mine if process.cmdline()[-1] == "agent")
    trainer = next(process for process in mine if "services.training_service.trainer" in process.cmdline())
    return agent, psutil.Process(system.pid("training")), trainer


def _spent(processes: tuple[psutil.Process, psutil.Process, psutil.Process]) -> Spent:
    used = [process.cpu_times() for process in processes]
    return Spent(*(times.user + times.system for times in used), at=time.monotonic())


if __name__ == "__main__":
    sys.exit(main())
