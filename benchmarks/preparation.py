"""Preparation of many Japanese rows, step by step: rows and bytes a second, and the most memory.

    python -m benchmarks.preparation [--rows 100000] [--step NAME]… [--no-peer] [--folder DIR] [--json]

The preparing process runs as the data service runs it, over a rows.parquet of texts of about 300 characters, of which
a tenth repeat earlier ones and a tenth are earlier ones with a few characters changed. Each recipe is a process of its
own, measured from its start to its end; bytes are those of the rows as JSON. Peak memory is the resident set size of
the process, looked at every 20 ms. The peer finds near duplicates with datasketch as its documentation shows
(MinHash.bulk over 5-character shingles and an index in memory), reading the same file. To see how memory grows, run it
with other numbers of rows. Exit code 1 when a recipe took more than 400 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service.domain import RowForm, Template, TrainOn
from services.data_service.preparation.request import PreparationRequest, PreparationResult
from services.data_service.preparation.rows import compact
from services.data_service.recipe import (
    Chunking,
    Deduplication,
    Normalization,
    Recipe,
    Redaction,
    RowFilter,
    Split,
)

MEMORY_AIM = 400 << 20
THRESHOLD = 0.8
SOURCE = Path(__file__).resolve().parents[1] / "samples" / "data" / "sample_training_data.jsonl"
TEMPLATE = Template(
    form=RowForm.TEXT, train_on=TrainOn.COMPLETION, prompt_marker="質問: ", completion_marker="\n回答: "
)
_REDACTION = Redaction(emails=True, phone_numbers=True, my_numbers=True)
_SPLIT = Split(validation_share=0.05, test_share=0.05)
RECIPES = {
    "split": Recipe(split=_SPLIT),
    "chunking": Recipe(chunking=Chunking(max_characters=100, overlap_characters=20)),
    "conversion": Recipe(form=RowForm.MESSAGES),
    "normalization": Recipe(normalization=Normalization.NFKC),
    "redaction": Recipe(redaction=_REDACTION),
    "filter": Recipe(filter=RowFilter(min_characters=10, drop_patterns=[r"(?i)lorem ipsum", r"\p{Cyrillic}"])),
    "deduplication.exact": Recipe(deduplication=Deduplication(exact=True)),
    "deduplication.near": Recipe(deduplication=Deduplication(near_threshold=THRESHOLD)),
    "everything": Recipe(
        form=RowForm.MESSAGES,
        normalization=Normalization.NFKC,
        redaction=_REDACTION,
        filter=RowFilter(min_characters=10, drop_patterns=[r"(?i)lorem ipsum"]),
        deduplication=Deduplication(exact=True, near_threshold=THRESHOLD),
        split=_SPLIT,
    ),
}
_PEER = """
import json, sys
import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH
index = MinHashLSH(threshold=float(sys.argv[2]), num_perm=128)
kept = 0
for batch in pq.ParquetFile(sys.argv[1]).iter_batches(1024, columns=["json"]):
    texts = [json.loads(row)["text"] for row in batch.column(0).to_pylist()]
    shingles = ([text[i : i + 5].encode() for i in range(max(1, len(text) - 4))] for text in texts)
    for number, found in enumerate(MinHash.bulk(shingles, num_perm=128)):
        if not index.query(found):
            index.insert(kept, found)
            kept += 1
print(kept)
"""


@dataclass(frozen=True)
class Run:
    """One process: how long, how much of it computing, how much memory at most, and the rows that it left."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    rows_left: int


def main() -> int:
    """Measures and prints; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--step", action="append", choices=list(RECIPES))
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = Path(folder) / "rows.parquet"
        size = make_rows(rows, options.rows)
        runs = {name: prepare(rows, RECIPES[name], Path(folder)) for name in options.step or RECIPES}
        peer = None if options.no_peer else measured([sys.executable, "-c", _PEER, str(rows), str(THRESHOLD)])
    show(options.rows, size, runs, peer, as_json=options.json)
    return int(any(run.peak_bytes > MEMORY_AIM for run in runs.values()))


def make_rows(path: Path, count: int) -> int:
    """Writes a rows.parquet; bytes of its JSON."""
    rng = random.Random(7)  # noqa: S311 - made-up text
    sentences = [
        sentence
        for line in SOURCE.read_text().splitlines()
        for sentence in re.split(r"。|質問: |回答: ", " ".join(str(value) for value in json.loads(line).values()))
        if len(sentence) > 10
    ]
    texts: list[str] = []
    size = 0
    schema = pa.schema([("index", pa.int64()), ("line", pa.int64()), ("json", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for first in range(0, count, 4096):
            numbers = range(first, min(count, first + 4096))
            rows = [compact({"text": _text(rng, sentences, texts)}) for _ in numbers]
            size += sum(map(len, rows))
            columns = [
                pa.array(numbers, pa.int64()),
                pa.array([number + 1 for number in numbers], pa.int64()),
                pa.array([row.decode() for row in rows], pa.string()),
            ]
            writer.write_table(pa.table(columns, schema=schema))
    return size


def _text(rng: random.Random, sentences: list[str], before: list[str]) -> str:
    kind = rng.random()
    if before and kind < 0.2:
        text = rng.choice(before)
        return text if kind < 0.1 else f"{text[:-8]}変えた。"
    words = [f"{rng.choice(sentences)}、{rng.randrange(10**6)} 番。" for _ in range(6)]
    text = f"質問: {words[0]}\n回答: {''.join(words[1:])}電話は 03-1234-5678 まで。"
    if len(before) < 10_000:
        before.append(text)
    else:
        before[rng.randrange(10_000)] = text
    return text


def prepare(rows: Path, recipe: Recipe, folder: Path) -> Run:
    """One recipe by the service's process."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        request = PreparationRequest(
            input_file=str(rows), output_dir=output, template=TEMPLATE, recipe=recipe, total_bytes=1
        )
        told = Path(output) / "request.json"
        told.write_text(request.to_json())
        run = measured([sys.executable, "-m", "services.data_service.preparation", str(told)])
        result = PreparationResult.read(Path(output))
        assert not result.failure, result.failure
        return replace(run, rows_left=sum(result.rows.values()))


def measured(argv: list[str]) -> Run:
    """A process from its start to its end; the last line that it prints may be the rows that it left."""
    began, computed = time.perf_counter(), _computed()
    peak = 0
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, seen.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
        said = process.communicate()[0].decode().strip().splitlines()
    assert process.returncode == 0, argv
    left = said[-1] if said else ""
    seconds, cpu_seconds = time.perf_counter() - began, _computed() - computed
    return Run(seconds, cpu_seconds, peak, int(left) if left.isdigit() else 0)


def _computed() -> float:
    """Processor seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(rows: int, size: int, runs: dict[str, Run], peer: Run | None, *, as_json: bool) -> None:
    """The figures, with the load under which they were taken."""
    load = round(os.getloadavg()[0], 1)
    named = runs | ({"peer: datasketch in memory": peer} if peer is not None else {})
    if as_json:
        steps = {
            name: {
                "seconds": round(run.seconds, 2),
                "cpu_seconds": round(run.cpu_seconds, 2),
                "rows_per_s": round(rows / run.seconds),
                "mb_per_s": round(size / run.seconds / 1e6, 2),
                "peak_mb": round(run.peak_bytes / 1e6),
                "rows_left": run.rows_left,
            }
            for name, run in named.items()
        }
        said = {"time": datetime.now(UTC).isoformat(), "rows": rows, "bytes": size, "load": load, "steps": steps}
        print(json.dumps(said, ensure_ascii=False))
        return
    print(f"{rows} rows, {size / 1e6:.1f} MB of JSON; {os.cpu_count()} CPUs, load {load}")
    print(f"{'':28} {'s':>8} {'CPU s':>8} {'rows/s':>9} {'MB/s':>7} {'peak MB':>8} {'rows left':>10}")
    for name, run in named.items():
        speed = f"{rows / run.seconds:9.0f} {size / run.seconds / 1e6:7.2f}"
        print(
            f"{name:28} {run.seconds:8.1f} {run.cpu_seconds:8.1f} {speed} {run.peak_bytes / 1e6:8.0f} {run.rows_left:10}"
        )


if __name__ == "__main__":
    sys.exit(main())
