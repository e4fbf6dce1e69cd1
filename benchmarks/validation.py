"""Validation of a large file of Japanese rows beside `datasets.load_dataset("json")`.

    python -m benchmarks.validation [--size 256MiB] [--rounds 3] [--form text|instruction|messages] [--service]
                                    [--folder DIR] [--json]

The checking process runs as the data service runs it: all checks, statistics, rows.parquet and rows.index. The peer
reads the same file into its own cache and checks far less. Each is a process of its own, measured in turn in the same
run from its start to its end; the share is the median over the rounds. Peak memory is the proportional set size of
the checking process with its helpers, in one more round, since to look at it takes a part of the processors.
`--service` then sends the file through the whole service, for its peak memory: the API process and all its children,
from the first byte uploaded to the finished version. Exit code 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aift import Client

from benchmarks.data_rig import data_service, postgres, state_dir
from benchmarks.peak_memory import PeakMemory
from services.data_service.report import Report
from services.data_service.validation.request import REPORT_FILE, ValidationRequest

SOURCE = Path(__file__).resolve().parents[1] / "samples" / "data" / "sample_training_data.jsonl"
MEMORY_AIM = 250 << 20
SERVICE_MEMORY_AIM = 400 << 20
FORMS: dict[str, Callable[[str, str], dict[str, object]]] = {
    "text": lambda asked, said: {"text": f"質問: {asked}\n回答: {said}"},
    "instruction": lambda asked, said: {"instruction": asked, "output": said},
    "messages": lambda asked, said: {
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    },
}
_PEER = """
import sys, datasets
datasets.disable_progress_bars()
rows = datasets.load_dataset("json", data_files=sys.argv[1], cache_dir=sys.argv[2], split="train")
print(len(rows))
"""
_ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Run:
    """One process over the file."""

    seconds: float
    cpu_seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=_bytes, default=256 << 20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--form", choices=sorted(FORMS), default="text")
    parser.add_argument("--service", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with state_dir(options.folder) as folder:
        file = folder / "rows.jsonl"
        write_rows(file, options.size, options.form)
        figures = measure(folder, file, options.rounds)
        if options.service:
            figures |= whole_service(folder, file, options.size)
    print(json.dumps(figures, indent=1) if options.json else "\n".join(f"{k:26} {v}" for k, v in figures.items()))
    met = figures["share_of_load_dataset"] >= 1 and figures["peak_mib"] << 20 <= MEMORY_AIM
    return 0 if met and figures.get("service_peak_mib", 0) << 20 <= SERVICE_MEMORY_AIM else 1


def measure(folder: Path, file: Path, rounds: int) -> dict[str, float]:
    """Ours and the peer in turn on a file."""
    size = file.stat().st_size
    ours, peer = [], []
    for _ in range(rounds):
        ours.append(_run_ours(folder, file, run))
        peer.append(_run_peer(folder, file, run))
    ours_peak, peer_peak = _run_ours(folder, file, peak_of), _run_peer(folder, file, peak_of)
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
        "peak_mib": ours_peak >> 20,
        "load_dataset_peak_mib": peer_peak >> 20,
    }


def write_rows(file: Path, size: int, form: str = "text", seed: int = 0) -> None:
    """Questions and answers of about 500 bytes, all different, up to `size` bytes."""
    row_of = FORMS[form]
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
                lines.append(json.dumps(row_of(asked, f"{said}（{number}）"), ensure_ascii=False))
            written += out.write("\n".join([*lines, ""]).encode()[: size - written])
        if written:
            out.truncate(_last_line(file, out.tell()))


def _last_line(file: Path, size: int) -> int:
    with file.open("rb") as stream:
        stream.seek(max(0, size - 65536))
        return max(0, size - 65536) + stream.read().rfind(b"\n") + 1


def _run_ours(folder: Path, file: Path, how: Callable[[list[str]], _T]) -> _T:
    """The checking process on a file."""
    with _output(folder) as output:
        request = ValidationRequest(input_file=str(file), output_dir=str(output), filename=file.name)
        result = how([sys.executable, "-m", "services.data_service.validation", request.to_json()])
        assert Report.from_json(json.loads((output / REPORT_FILE).read_text())).valid
    return result


def _run_peer(folder: Path, file: Path, how: Callable[[list[str]], _T]) -> _T:
    with _output(folder) as output:
        return how([sys.executable, "-c", _PEER, str(file), str(output)])


@contextmanager
def _output(folder: Path) -> Iterator[Path]:
    output = folder / "output"
    output.mkdir()
    yield output
    shutil.rmtree(output)


def run(argv: list[str]) -> Run:
    """A process to its end."""
    started, before = time.perf_counter(), os.times()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=_ENVIRONMENT)
    seconds, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(seconds, cpu)


def peak_of(argv: list[str]) -> int:
    """The most bytes that a process takes until its end."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=_ENVIRONMENT)
    with PeakMemory(process.pid) as memory:
        process.wait()
    assert process.returncode == 0, argv
    return memory.peak_bytes


def whole_service(folder: Path, file: Path, size: int) -> dict[str, float]:
    """The file through the real service: uploaded with the SDK, checked by its children, kept in a directory store."""
    with postgres(folder) as database, data_service(folder, database, "validation") as service:
        client = Client(token=service.token, addresses={"data": f"127.0.0.1:{service.port}"})
        began = time.perf_counter()
        with PeakMemory(service.pid) as memory:
            client.datasets.upload(file, dataset="rows")
        took = time.perf_counter() - began
    return {"service_mb_per_second": round(size / took / 1e6, 1), "service_peak_mib": memory.peak_bytes >> 20}


def _bytes(text: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)\s*([KMG]i?B)?", text).groups()  # type: ignore[union-attr]
    powers = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
    return int(float(number) * powers[unit])


if __name__ == "__main__":
    sys.exit(main())
