"""How fast an upload is beside what it cannot be faster than.

    python benchmarks/upload.py [--mib 256] [--rounds 5] [--folder DIR] [--json]

Directory store: WriteUpload as a share of a bare grpc.aio client stream with SHA-256. MinIO (where the `minio`
program is): as a share of the slower of that stream and a bare put of the same bytes. Each is measured in turn in the
same run, with client, server and store on this machine; shares are medians over the rounds. The figure is the stream
until everything is committed; what finalising adds (joining the parts into one object that is forced to disk) is
shown beside it. Exit code 1 when an aim is missed. `--folder` chooses the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
from aift.data.v1 import data_pb2 as pb
from aift.data.v1 import data_pb2_grpc
from data_rig import (
    ACCESS_KEY,
    BUCKET,
    SECRET_KEY,
    Served,
    bare_server,
    data_service,
    find_minio,
    minio,
    postgres,
    state_dir,
)
from minio import Minio

AIM = 0.8
CHUNK_BYTES = 512 << 10  # what the SDK sends
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Round:
    """MiB/s in one round; `put` is 0 where there is none."""

    bare: float
    put: float
    stream: float
    whole: float

    @property
    def limit(self) -> float:
        """What the upload cannot be faster than."""
        return min(self.bare, self.put) if self.put else self.bare


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians over the rounds: MiB/s, and shares of the limit."""

    store: str
    bare_mib_s: float
    put_mib_s: float
    stream_mib_s: float
    whole_mib_s: float
    stream_share: float
    whole_share: float

    @classmethod
    def of(cls, store: str, rounds: list[Round]) -> Result:
        """Sums up."""
        return cls(
            store=store,
            bare_mib_s=_median(one.bare for one in rounds),
            put_mib_s=_median(one.put for one in rounds),
            stream_mib_s=_median(one.stream for one in rounds),
            whole_mib_s=_median(one.whole for one in rounds),
            stream_share=_median(one.stream / one.limit for one in rounds),
            whole_share=_median(one.whole / one.limit for one in rounds),
        )


class Sender:
    """Sends the same number of random bytes again and again, each time another content."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool = os.urandom(16 * MIB)
        self._round = 0

    async def stream(self, server: Served) -> float:
        """Seconds of a WriteUpload to the bare server."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = data_pb2_grpc.DataServiceStub(channel)
            await channel.channel_ready()
            began = time.perf_counter()
            await stub.WriteUpload(self._messages(""))  # type: ignore[misc]
            return time.perf_counter() - began

    async def upload(self, server: Served) -> tuple[float, float]:
        """Seconds of a WriteUpload to the service, and of that with FinalizeUpload."""
        metadata = (("authorization", f"Bearer {server.token}"),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub: data_pb2_grpc.DataServiceAsyncStub = data_pb2_grpc.DataServiceStub(channel)  # type: ignore[assignment]
            request = pb.CreateUploadRequest(filename="benchmark.bin", size_bytes=self._size)
            name = (await stub.CreateUpload(request, metadata=metadata)).name
            began = time.perf_counter()
            done = await stub.WriteUpload(self._messages(name), metadata=metadata)
            streamed = time.perf_counter() - began
            assert done.committed_bytes == self._size
            await stub.FinalizeUpload(pb.FinalizeUploadRequest(name=name), metadata=metadata)
            return streamed, time.perf_counter() - began

    def put(self, endpoint: str) -> float:
        """Seconds of a put into MinIO."""
        client = Minio(endpoint, ACCESS_KEY, SECRET_KEY, secure=False)
        content = io.BytesIO(self._pool * (self._size // len(self._pool)))
        began = time.perf_counter()
        client.put_object(BUCKET, f"put-{self._round}", content, self._size)
        return time.perf_counter() - began

    async def _messages(self, name: str) -> AsyncIterator[pb.WriteUploadRequest]:
        self._round += 1
        first = self._round.to_bytes(8, "big") + self._pool[8:CHUNK_BYTES]
        for offset in range(0, self._size, CHUNK_BYTES):
            at = offset % len(self._pool)
            data = self._pool[at : at + CHUNK_BYTES] if offset else first
            yield pb.WriteUploadRequest(name=name, offset_bytes=offset, data=data)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256, help="size of one upload, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the stores lie; by default the temporary folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.mib % 16:
        parser.error("--mib must be a multiple of 16")
    sender = Sender(options.mib * MIB)
    with state_dir(options.folder) as folder:
        results = _measure(sender, folder, options.mib, options.rounds)
    print(json.dumps([asdict(result) for result in results]) if options.json else _table(results, options.mib))
    return 0 if all(result.stream_share >= AIM for result in results) else 1


def _measure(sender: Sender, folder: Path, mib: int, rounds: int) -> list[Result]:
    with ExitStack() as stack:
        database = stack.enter_context(postgres(folder))
        bare = stack.enter_context(bare_server())
        with data_service(folder, database, "directory") as service:
            results = [Result.of("directory", [_round(sender, mib, bare, service) for _ in range(rounds)])]
        program = find_minio()
        if program is None:
            print("NOT MEASURED: MinIO (no `minio` on the PATH or in ~/go/bin)", file=sys.stderr)
            return results
        endpoint = stack.enter_context(minio(folder, program))
        Minio(endpoint, ACCESS_KEY, SECRET_KEY, secure=False).make_bucket(BUCKET)
        with data_service(folder, database, "minio", **_s3(endpoint)) as service:
            results.append(Result.of("MinIO", [_round(sender, mib, bare, service, endpoint) for _ in range(rounds)]))
        return results


def _round(sender: Sender, mib: int, bare: Served, service: Served, endpoint: str = "") -> Round:
    bare_s = asyncio.run(sender.stream(bare))
    put_s = sender.put(endpoint) if endpoint else 0.0
    stream_s, whole_s = asyncio.run(sender.upload(service))
    return Round(bare=mib / bare_s, put=mib / put_s if put_s else 0.0, stream=mib / stream_s, whole=mib / whole_s)


def _s3(endpoint: str) -> dict[str, str]:
    return {
        "AIFT_OBJECT_STORE": "s3",
        "AIFT_S3_ENDPOINT": endpoint,
        "AIFT_S3_ACCESS_KEY": ACCESS_KEY,
        "AIFT_S3_SECRET_KEY": SECRET_KEY,
        "AIFT_S3_BUCKET": BUCKET,
    }


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _table(results: list[Result], mib: int) -> str:
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; uploads of {mib} MiB; MiB/s, medians; aim {AIM}",
        "store       bare stream  bare put  upload  share  with finalise  share",
    ]
    for one in results:
        put = f"{one.put_mib_s:8.0f}" if one.put_mib_s else f"{'-':>8}"
        lines.append(
            f"{one.store:<11} {one.bare_mib_s:11.0f}  {put}  {one.stream_mib_s:6.0f}  {one.stream_share:5.2f}"
            f"  {one.whole_mib_s:13.0f}  {one.whole_share:5.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
