"""Unary calls a second with authentication and a database read, beside a bare grpc.aio echo.

    python benchmarks/unary.py [--seconds 4] [--rounds 5] [--json]

GetDataset of the data service with 64 calls in flight, and the same message to a server that answers at once, in turn
in the same run, with client and servers on this machine. Also: what the service's process weighs after at least 1,000
calls. Exit code 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
from aift.data.v1 import data_pb2 as pb
from aift.data.v1 import data_pb2_grpc
from data_rig import Served, bare_server, data_service, postgres, state_dir

IN_FLIGHT = 64
AIM_SHARE = 0.4
AIM_P99 = 2.0
AIM_MEMORY_MIB = 150.0
DATASET = "datasets/benchmark"


@dataclass(frozen=True, kw_only=True)
class Load:
    """One round against one server."""

    calls_s: float
    mean_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians over the rounds."""

    bare: Load
    service: Load
    share: float
    p99_over_mean: float
    rss_mib: float
    pss_mib: float

    def misses(self) -> list[str]:
        """The aims that were not met."""
        missed = [] if self.share >= AIM_SHARE else [f"share {self.share:.2f} < {AIM_SHARE}"]
        missed += [] if self.p99_over_mean <= AIM_P99 else [f"p99 {self.p99_over_mean:.1f} times the mean"]
        return missed + ([] if self.pss_mib <= AIM_MEMORY_MIB else [f"memory {self.pss_mib:.0f} MiB"])


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with (
        state_dir(None) as folder,
        postgres(folder) as database,
        bare_server() as bare,
        data_service(folder, database, "directory") as service,
    ):
        result = asyncio.run(_measure(bare, service, options.seconds, options.rounds))
    print(json.dumps({**asdict(result), "misses": result.misses()}) if options.json else _table(result))
    return 1 if result.misses() else 0


async def _measure(bare: Served, service: Served, seconds: float, rounds: int) -> Result:
    await _create(service)
    bares, services = [], []
    for server in (bare, service):  # warm up
        await _load(server, 1.0)
    for _ in range(rounds):
        bares.append(await _load(bare, seconds))
        services.append(await _load(service, seconds))
    rss, pss = _memory(service.pid)
    return Result(
        bare=_median(bares),
        service=_median(services),
        share=statistics.median(ours.calls_s / theirs.calls_s for ours, theirs in zip(services, bares, strict=True)),
        p99_over_mean=statistics.median(one.p99_ms / one.mean_ms for one in services),
        rss_mib=rss,
        pss_mib=pss,
    )


async def _create(service: Served) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.port}") as channel:
        stub: data_pb2_grpc.DataServiceAsyncStub = data_pb2_grpc.DataServiceStub(channel)  # type: ignore[assignment]
        request = pb.CreateDatasetRequest(dataset_id="benchmark", dataset=pb.Dataset(display_name="計測"))
        await stub.CreateDataset(request, metadata=_metadata(service))


async def _load(server: Served, seconds: float) -> Load:
    """Keeps 64 calls in flight for a time."""
    took: list[float] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: data_pb2_grpc.DataServiceAsyncStub = data_pb2_grpc.DataServiceStub(channel)  # type: ignore[assignment]
        await channel.channel_ready()
        request, metadata = pb.GetDatasetRequest(name=DATASET), _metadata(server)
        began = time.perf_counter()
        until = began + seconds

        async def caller() -> None:
            while (at := time.perf_counter()) < until:
                await stub.GetDataset(request, metadata=metadata)
                took.append(time.perf_counter() - at)

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        lasted = time.perf_counter() - began
    ordered = sorted(took)
    return Load(
        calls_s=len(took) / lasted,
        mean_ms=1000 * statistics.fmean(took),
        p99_ms=1000 * ordered[int(len(ordered) * 0.99)],
    )


def _metadata(server: Served) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {server.token}"),) if server.token else ()


def _median(loads: list[Load]) -> Load:
    return Load(
        calls_s=statistics.median(one.calls_s for one in loads),
        mean_ms=statistics.median(one.mean_ms for one in loads),
        p99_ms=statistics.median(one.p99_ms for one in loads),
    )


def _memory(pid: int) -> tuple[float, float]:
    """RSS and PSS in MiB, as the kernel counts them."""
    rollup = Path("/proc", str(pid), "smaps_rollup").read_text()
    found = dict(re.findall(r"^(Rss|Pss): +(\d+) kB$", rollup, re.MULTILINE))
    return int(found["Rss"]) / 1024, int(found["Pss"]) / 1024


def _table(result: Result) -> str:
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {IN_FLIGHT} calls in flight",
        "                    calls/s  mean ms  p99 ms",
    ]
    for name, load in (("bare echo", result.bare), ("GetDataset", result.service)):
        lines.append(f"{name:<18} {load.calls_s:8.0f} {load.mean_ms:8.1f} {load.p99_ms:7.1f}")
    lines += [
        f"share {result.share:.2f} (aim {AIM_SHARE}), p99 {result.p99_over_mean:.1f} times the mean (aim {AIM_P99})",
        f"memory: RSS {result.rss_mib:.0f} MiB, PSS {result.pss_mib:.0f} MiB (aim {AIM_MEMORY_MIB:.0f})",
    ]
    return "\n".join([*lines, *(f"MISSED: {miss}" for miss in result.misses())])


if __name__ == "__main__":
    sys.exit(main())
