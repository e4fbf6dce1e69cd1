"""How fast jobs are claimed: 1,000 queued jobs, 20 workers, beside the bare SKIP LOCKED statement in the same run.

    python benchmarks/claims.py [--jobs 1000] [--workers 20] [--json]

The whole system with its own PostgreSQL; jobs are made by CreateTrainingJob. Each worker asks ClaimJob again as soon as
it was answered, until none is left; an answer holds the addresses of all inputs. The bare statement empties a copy of
the same rows over as many connections.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import training_pb2_grpc, worker_pb2, worker_pb2_grpc
from running_system import Running, running_system

CREATING = 16
_COPY = """
    CREATE TABLE training.jobs_copy (LIKE training.jobs INCLUDING ALL);
    INSERT INTO training.jobs_copy SELECT * FROM training.jobs;
    ANALYZE training.jobs_copy
"""
_CLAIM = """
    WITH first AS (
        SELECT tenant, id FROM training.jobs_copy WHERE state = 'QUEUED'
        ORDER BY priority DESC, create_time, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE training.jobs_copy AS job
    SET state = 'PROVISIONING', attempt = attempt + 1, fence = fence + 1,
        lease_expires_at = clock_timestamp() + interval '30 seconds'
    FROM first WHERE job.tenant = first.tenant AND job.id = first.id RETURNING job.*
"""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One way of claiming everything."""

    claims: int
    claims_s: float
    mean_ms: float
    p99_ms: float


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running_system(worker=False, AIFT_LEASE_SECONDS="3600") as system:
        created_s, bare, service = asyncio.run(_measure(system, options.jobs, options.workers))
    if options.json:
        print(json.dumps({"created_s": created_s, "bare": asdict(bare), "service": asdict(service)}))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.jobs} jobs, {options.workers} workers")
    print(f"CreateTrainingJob, {CREATING} at once: {created_s:.0f} jobs/s")
    for name, rate in (("bare statement", bare), ("ClaimJob", service)):
        print(f"{name:<16}{rate.claims_s:8.0f} claims/s, mean {rate.mean_ms:.1f} ms, p99 {rate.p99_ms:.1f} ms")
    print(f"share {service.claims_s / bare.claims_s:.2f}; each job was claimed once: {service.claims == options.jobs}")


async def _measure(system: Running, jobs: int, workers: int) -> tuple[float, Rate, Rate]:
    created_s = await _create(system, jobs)
    url = system.database_url()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in _COPY.split(";"):
            await connection.execute(statement)
    return created_s, await _bare(url, workers), await _service(system, workers)


async def _create(system: Running, jobs: int) -> float:
    spec = {"base_model": "baseModels/tiny-ja", "dataset_version": system.dataset_version}
    at_once = asyncio.Semaphore(CREATING)
    async with system.connect(system.user) as link:
        stub: Any = training_pb2_grpc.TrainingServiceStub(link)

        async def create() -> None:
            async with at_once:
                await stub.CreateTrainingJob(pb.CreateTrainingJobRequest(training_job={"spec": spec}))

        began = time.perf_counter()
        await asyncio.gather(*(create() for _ in range(jobs)))
        return jobs / (time.perf_counter() - began)


async def _bare(url: str, workers: int) -> Rate:
    connections = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(workers)]

    def claimer(connection: psycopg.AsyncConnection[Any]) -> Callable[[], Awaitable[bool]]:
        async def claim() -> bool:
            return await (await connection.execute(_CLAIM)).fetchone() is not None

        return claim

    try:
        return await _until_empty([claimer(connection) for connection in connections])
    finally:
        for connection in connections:
            await connection.close()


async def _service(system: Running, workers: int) -> Rate:
    async with system.connect(system.worker) as link:
        stub: Any = worker_pb2_grpc.WorkerServiceStub(link)

        def claimer(name: str) -> Callable[[], Awaitable[bool]]:
            async def claim() -> bool:
                answer = await stub.ClaimJob(worker_pb2.ClaimJobRequest(worker=name))
                return bool(answer.HasField("assignment"))

            return claim

        return await _until_empty([claimer(f"worker-{number}") for number in range(workers)])


async def _until_empty(claimers: list[Callable[[], Awaitable[bool]]]) -> Rate:
    took: list[float] = []

    async def work(claim: Callable[[], Awaitable[bool]]) -> None:
        at = time.perf_counter()
        while await claim():
            took.append(time.perf_counter() - at)
            at = time.perf_counter()

    began = time.perf_counter()
    await asyncio.gather(*(work(claim) for claim in claimers))
    lasted = time.perf_counter() - began
    ordered = sorted(took)
    return Rate(
        claims=len(took),
        claims_s=len(took) / lasted,
        mean_ms=1000 * statistics.fmean(took),
        p99_ms=1000 * ordered[int(len(ordered) * 0.99)],
    )


if __name__ == "__main__":
    main()
