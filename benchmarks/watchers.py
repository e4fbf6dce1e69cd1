"""What idle watchers weigh: 500 streams of WatchTrainingJob, and the memory of the service's process over time.

    python benchmarks/watchers.py [--watchers 500] [--seconds 40] [--json]

Each watcher follows a queued job that nothing happens to; every 15 s it is told that the stream lives. Memory is PSS
as the kernel counts it: before, with all watchers connected, and at the end; flat means that the last half of the time
added less than 1 MiB. Watchers have 10 connections.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import training_pb2_grpc
from running_system import Running, running_system

CONNECTIONS = 10
FLAT_MIB = 1.0


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watchers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running_system(worker=False) as system:
        found = asyncio.run(_measure(system, options.watchers, options.seconds))
    if options.json:
        print(json.dumps(found))
        return
    before, middle, end = found["before_mib"], found["middle_mib"], found["end_mib"]
    print(f"load {os.getloadavg()[0]:.1f}; {options.watchers} watchers for {options.seconds:.0f} s")
    print(f"PSS of the training service: {before:.1f} MiB before, {middle:.1f} half way, {end:.1f} at the end")
    print(f"{1024 * (end - before) / options.watchers:.0f} KiB a watcher; flat: {end - middle < FLAT_MIB}")
    print(f"signs of life: {found['told']:.0f}; processor time {100 * found['cpu_share']:.1f} % of a core")


async def _measure(system: Running, watchers: int, seconds: float) -> dict[str, float]:
    pid, told = system.pid("training"), 0
    links = [system.connect(system.user) for _ in range(CONNECTIONS)]
    stubs: list[Any] = [training_pb2_grpc.TrainingServiceStub(link) for link in links]
    spec = {"base_model": "baseModels/tiny-ja", "dataset_version": system.dataset_version}
    job = await stubs[0].CreateTrainingJob(pb.CreateTrainingJobRequest(training_job={"spec": spec}))
    connected = asyncio.Semaphore(0)

    async def watch(stub: Any) -> None:
        nonlocal told
        async for event in stub.WatchTrainingJob(pb.WatchTrainingJobRequest(name=job.name)):
            if event.sequence == 1:
                connected.release()
            told += not event.sequence

    before = _pss_mib(pid)
    tasks = [asyncio.create_task(watch(stubs[number % CONNECTIONS])) for number in range(watchers)]
    for _ in tasks:
        await connected.acquire()
    cpu_before = _cpu_s(pid)
    await asyncio.sleep(seconds / 2)
    middle = _pss_mib(pid)
    await asyncio.sleep(seconds / 2)
    found = {
        "before_mib": before,
        "middle_mib": middle,
        "end_mib": _pss_mib(pid),
        "told": told,
        "cpu_share": (_cpu_s(pid) - cpu_before) / seconds,
    }
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for link in links:
        await link.close()
    return found


def _pss_mib(pid: int) -> float:
    rollup = Path("/proc", str(pid), "smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _cpu_s(pid: int) -> float:
    fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
