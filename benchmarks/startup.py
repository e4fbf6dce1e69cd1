"""How long `aift up` takes until all is healthy, and what each API process weighs after 1,000 calls.

    python benchmarks/startup.py [--rounds 3] [--calls 1000] [--json]

The first round starts on an empty state directory (keys, database and schemas are made), the others on the same one.
Memory is read from the kernel after the calls: RSS counts shared pages whole, PSS its share of them. Exit code 1 when
a process of the API has torch in its memory, or an aim is missed.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aift.client import Client
from aift.data.v1 import data_pb2
from aift.inference.v1 import inference_pb2
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2

AIM_HEALTHY_S = 5.0
AIM_MEMORY_MIB = 150.0
SERVICES = ("data", "training", "registry", "inference")


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One API process after its calls."""

    name: str
    rss_mib: float
    pss_mib: float
    calls_per_second: float  # one at a time, with token check and database read
    torch: bool  # whether any library of torch is mapped


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured."""

    first_start_s: float
    later_starts_s: list[float]
    stop_s: float
    calls: int
    weights: list[Weight]

    def misses(self) -> list[str]:
        """The aims that were not met."""
        starts = {"first start": self.first_start_s, "later start": statistics.median(self.later_starts_s)}
        missed = [f"{name} {took:.1f} s > {AIM_HEALTHY_S} s" for name, took in starts.items() if took > AIM_HEALTHY_S]
        missed += [f"{w.name} {w.pss_mib:.0f} MiB" for w in self.weights if w.pss_mib > AIM_MEMORY_MIB]
        return missed + [f"{weight.name} has torch in its memory" for weight in self.weights if weight.torch]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="starts in all, at least 2")
    parser.add_argument("--calls", type=int, default=1000, help="calls to each service")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with _state_dir() as state:
        result = _measure(state, max(2, options.rounds), options.calls)
    print(json.dumps({**asdict(result), "misses": result.misses()}) if options.json else _table(result))
    return 1 if result.misses() else 0


def _measure(state: Path, rounds: int, calls: int) -> Result:
    starts: list[float] = []
    weights: list[Weight] = []
    for number in range(rounds):
        last = number == rounds - 1
        process, took, told = _up(state)
        starts.append(took)
        if last:
            weights = [_weigh(state, record, calls) for record in told["processes"] if record["name"] in SERVICES]
        began = time.perf_counter()
        process.terminate()
        process.wait()
        stop_s = time.perf_counter() - began
    return Result(first_start_s=starts[0], later_starts_s=starts[1:], stop_s=stop_s, calls=calls, weights=weights)


def _up(state: Path) -> "tuple[subprocess.Popen[bytes], float, dict[str, Any]]":
    argv = [sys.executable, "-m", "services.embedded", "up", "--ports", "auto", "--json", "--state-dir", str(state)]
    began = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()
    took = time.perf_counter() - began
    if not line:
        raise SystemExit(process.wait() or 1)
    return process, took, json.loads(line)


def _weigh(state: Path, record: dict[str, Any], calls: int) -> Weight:
    call = _call(Client(state_dir=state), record["name"])
    began = time.perf_counter()
    for _ in range(calls):
        call()
    took = time.perf_counter() - began
    kernel = Path("/proc", str(record["pid"]))
    rollup = dict(re.findall(r"^(Rss|Pss): +(\d+) kB$", (kernel / "smaps_rollup").read_text(), re.MULTILINE))
    return Weight(
        name=record["name"],
        rss_mib=int(rollup["Rss"]) / 1024,
        pss_mib=int(rollup["Pss"]) / 1024,
        calls_per_second=calls / took,
        torch="libtorch" in (kernel / "maps").read_text(),
    )


def _call(client: Client, service: str) -> Callable[[], object]:
    """One authenticated call with a database read."""
    to = client.connection
    calls: dict[str, Callable[[], object]] = {
        "data": lambda: to.call("data", to.data.ListDatasets, data_pb2.ListDatasetsRequest()),
        "training": lambda: to.call("training", to.training.ListTrainingJobs, training_pb2.ListTrainingJobsRequest()),
        "registry": lambda: to.call("registry", to.registry.ListModels, registry_pb2.ListModelsRequest()),
        "inference": lambda: to.call(
            "inference", to.inference.ListLoadedModels, inference_pb2.ListLoadedModelsRequest()
        ),
    }
    return calls[service]


@contextmanager
def _state_dir() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="aift-benchmark-"))
    parent.chmod(0o711)  # PostgreSQL's user, when we are root, must pass through
    yield parent / "state"
    shutil.rmtree(parent)


def _table(result: Result) -> str:
    later = statistics.median(result.later_starts_s)
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        f"aift up to all healthy: first {result.first_start_s:.1f} s, later {later:.1f} s (aim {AIM_HEALTHY_S:.0f} s)",
        f"stop: {result.stop_s:.1f} s",
        f"after {result.calls} calls (aim {AIM_MEMORY_MIB:.0f} MiB, no torch):",
        "  service      RSS MiB  PSS MiB  calls/s  torch",
    ]
    lines += [
        f"  {w.name:<11} {w.rss_mib:8.0f} {w.pss_mib:8.0f} {w.calls_per_second:8.0f}  {'yes' if w.torch else 'no'}"
        for w in result.weights
    ]
    return "\n".join([*lines, *(f"MISSED: {miss}" for miss in result.misses())])


if __name__ == "__main__":
    sys.exit(main())
