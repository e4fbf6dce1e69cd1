"""Validation of a large file of Japanese rows beside `datasets.load_dataset("json")`, and how soon any page is there.

    python -m benchmarks.validation [--size 256MiB] [--rounds 3] [--rows 1000000] [--folder DIR] [--json]

The checking process runs as the data service runs it: all checks, statistics, rows.parquet and rows.index. The peer
reads the same file into its own cache and checks far less. Each is a process of its own, measured in turn in the same
run from its start to its end; the share is the median over the rounds. Peak memory is the proportional set size of
the checking process with its helpers, looked at every 200 ms. PreviewRows is called below gRPC, on a version of
`--rows` rows in a directory store, at a hundred places. Exit code 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from services.core.objects.directory import DirectoryStore
from services.data_service.domain import CHECKED_PATHS, Origin, Version, VersionFile
from services.data_service.report import Report
from services.data_service.row_pages import RowPages
from services.data_service.validation.request import REPORT_FILE, ValidationRequest

SOURCE = Path(__file__).resolve().parents[1] / "samples" / "data" / "sample_training_data.jsonl"
PAGE_AIM_MS = 100.0
MEMORY_AIM = 250 << 20
_PEER = """
import sys, datasets
datasets.disable_progress_bars()
rows = datasets.load_dataset("json", data_files=sys.argv[1], cache_dir=sys.argv[2], split="train")
print(len(rows))
"""


@dataclass(frozen=True)
class Run:
    """One process over the file."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=_bytes, default=256 << 20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aift-benchmark-", dir=options.folder) as name:
        figures = measure(Path(name), options.size, options.rounds) | preview(Path(name), options.rows)
    print(json.dumps(figures, indent=1) if options.json else "\n".join(f"{k:24} {v}" for k, v in figures.items()))
    met = figures["share_of_load_dataset"] >= 1 and figures["page_ms_worst"] <= PAGE_AIM_MS
    return 0 if met and figures["peak_mib"] << 20 <= MEMORY_AIM else 1


def measure(folder: Path, size: int, rounds: int) -> dict[str, float]:
    """Ours and the peer in turn on a file of `size` bytes."""
    file = folder / "rows.jsonl"
    write_rows(file, size)
    ours, peer = [], []
    for turn in range(rounds):
        ours.append(run_ours(file, folder / f"ours-{turn}"))
        peer.append(run([sys.executable, "-c", _PEER, str(file), str(folder / f"peer-{turn}")]))
    speed = statistics.median(size / run.seconds for run in ours)
    return {
        "size_mib": size >> 20,
        "mb_per_second": round(speed / 1e6, 1),
        "load_dataset_mb_per_second": round(statistics.median(size / run.seconds for run in peer) / 1e6, 1),
        "share_of_load_dataset": round(
            statistics.median(b.seconds / a.seconds for a, b in zip(ours, peer, strict=True)), 2
        ),
        "cpu_seconds": round(statistics.median(run.cpu_seconds for run in ours), 2),
        "load_dataset_cpu_seconds": round(statistics.median(run.cpu_seconds for run in peer), 2),
        "peak_mib": max(run.peak_bytes for run in ours) >> 20,
        "load_dataset_peak_mib": max(run.peak_bytes for run in peer) >> 20,
    }


def write_rows(file: Path, size: int, seed: int = 0) -> None:
    """Questions and answers of about 500 bytes, all different, up to `size` bytes."""
    sentences = [
        s for line in SOURCE.read_text().splitlines() for s in re.split(r"(?<=。)", json.loads(line)["text"]) if s
    ]
    sentences = [sentence.replace("質問: ", "").replace("\n回答: ", "") for sentence in sentences]
    chance, written, number = random.Random(seed), 0, 0  # noqa: S311 - not for secrets
    with file.open("wb") as out:
        while written < size:
            lines = []
            for _ in range(2000):
                number += 1
                asked, said = "".join(chance.choices(sentences, k=2)), "".join(chance.choices(sentences, k=6))
                lines.append(json.dumps({"text": f"質問: {asked}\n回答: {said}（{number}）"}, ensure_ascii=False))
            written += out.write("\n".join([*lines, ""]).encode()[: size - written])
        if written:
            out.truncate(_last_line(file, out.tell()))


def _last_line(file: Path, size: int) -> int:
    with file.open("rb") as stream:
        stream.seek(max(0, size - 65536))
        return max(0, size - 65536) + stream.read().rfind(b"\n") + 1


def run_ours(file: Path, output: Path) -> Run:
    """The checking process on a file."""
    output.mkdir()
    request = ValidationRequest(input_file=str(file), output_dir=str(output), filename=file.name)
    result = run([sys.executable, "-m", "services.data_service.validation", request.to_json()])
    assert Report.from_json(json.loads((output / REPORT_FILE).read_text())).valid
    return result


def run(argv: list[str]) -> Run:
    """A process to its end."""
    started, before = time.perf_counter(), os.times()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(0.2)
    seconds, after = time.perf_counter() - started, os.times()
    assert process.returncode == 0, argv
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(seconds, cpu, peak)


def _memory(pid: int) -> int:
    """Of a process and its children: shared pages count once."""
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                total += each.memory_full_info().pss
    return total


def preview(folder: Path, rows: int) -> dict[str, float]:
    """Pages of 20 rows at a hundred places of a version."""
    file, output, store = folder / "preview.jsonl", folder / "preview", DirectoryStore(folder / "store")
    with file.open("w") as out:
        out.writelines(f'{{"text":"質問: {number} 番は？\\n回答: {number} です。"}}\n' for number in range(rows))
    run_ours(file, output)
    version = asyncio.run(_version(store, output))
    times = asyncio.run(_pages(RowPages(store), version, rows))
    return {
        "preview_rows": rows,
        "page_ms_median": round(statistics.median(times), 2),
        "page_ms_worst": round(max(times), 2),
    }


async def _version(store: DirectoryStore, output: Path) -> Version:
    report = Report.from_json(json.loads((output / REPORT_FILE).read_text()))
    files = []
    for path in CHECKED_PATHS:
        if (output / path).exists():
            await store.put(path, (output / path).read_bytes())
            files.append(VersionFile(path=path, size_bytes=(output / path).stat().st_size, sha256="", key=path))
    return Version(
        tenant="benchmark",
        dataset_id="benchmark",
        number=1,
        uid="",
        sha256="",
        size_bytes=0,
        filename="",
        template=report.template,
        statistics=report.statistics,
        data_job="",
        origin=Origin(),
        create_time=datetime.now(UTC),
        files=tuple(files),
    )


async def _pages(pages: RowPages, version: Version, rows: int) -> list[float]:
    times = []
    for place in range(100):
        started = time.perf_counter()
        found = await pages.page(version, place * (rows - 20) // 99, 20)
        times.append((time.perf_counter() - started) * 1000)
        assert len(found) == 20
    return times


def _bytes(text: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)\s*([KMG]i?B)?", text).groups()  # type: ignore[union-attr]
    powers = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
    return int(float(number) * powers[unit])


if __name__ == "__main__":
    sys.exit(main())
