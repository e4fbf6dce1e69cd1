"""`python -m services.data_service.supervision.counting REQUEST`: counts the tokens of all rows of a version."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import accumulate, islice
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service import child
from services.data_service.domain import TokenStatistics
from services.data_service.supervision.count_request import RESULT_FILE, CountRequest, CountResult
from services.data_service.supervision.protocol import Trouble
from services.data_service.supervision.rendering import bound, example_of
from services.text.answers import texts_of
from services.text.problems import ProblemError
from services.text.supervision import count_all
from services.text.template import Template
from services.text.tokenizer import leave_out_frameworks

BOUNDS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 1 << 21)
"""Upper bounds of the histogram's buckets, in tokens. No row is longer than the last."""
_BATCH_ROWS = 256
_THREADS = min(len(os.sched_getaffinity(0)), 16)
"""What Python does itself, one thread at a time, takes an eighth of the tokenizer's time; more threads would wait."""
_PROGRESS_EVERY_S = 0.5
_LOOK_FOR_CYCLES_AFTER = 20_000
"""Objects. Rows make none, so that to look often is in vain; templates with macros make some for each row."""


class Lengths:
    """How many rows have which length in tokens."""

    def __init__(self) -> None:
        self._rows: Counter[int] = Counter()
        self._trained = 0

    def add(self, tokens: int, trained: int) -> None:
        """Counts a row."""
        self._rows[tokens] += 1
        self._trained += trained

    def statistics(self) -> TokenStatistics:
        """Everything counted so far."""
        lengths = sorted(self._rows)
        counts = [0] * len(BOUNDS)
        for length in lengths:
            counts[next(i for i, bound in enumerate(BOUNDS) if length < bound)] += self._rows[length]
        return TokenStatistics(
            rows=self._rows.total(),
            tokens=sum(length * count for length, count in self._rows.items()),
            trained_tokens=self._trained,
            min_tokens=lengths[0] if lengths else 0,
            median_tokens=self._quantile(lengths, 0.5),
            p95_tokens=self._quantile(lengths, 0.95),
            max_tokens=lengths[-1] if lengths else 0,
            histogram_counts=counts,
            histogram_bounds=list(BOUNDS),
        )

    def _quantile(self, lengths: list[int], share: float) -> int:
        """The shortest length that this share of the rows does not exceed."""
        upto = accumulate(self._rows[length] for length in lengths)
        wanted = share * self._rows.total()
        return next((length for length, rows in zip(lengths, upto, strict=True) if rows >= wanted), 0)


def count(request: CountRequest, tell: child.Tell) -> CountResult:
    """Counts all rows, a batch in each thread: the tokenizer holds up no other thread."""
    lengths, told_at, rows = Lengths(), 0.0, 0
    size = Path(request.rows).stat().st_size
    try:
        tokenizer, template = bound(request.tokenizer, request.template)
        count_all([], template, tokenizer)  # sets the tokenizer up, which must not happen while a thread encodes
        with pq.ParquetFile(request.rows) as file, ThreadPoolExecutor(_THREADS) as workers:
            begun = (workers.submit(_counts, batch, template, tokenizer) for batch in _batches(file))
            coming = deque(islice(begun, _THREADS + 1))
            while coming:
                counts = coming.popleft().result()
                coming.extend(islice(begun, 1))
                for tokens, trained in counts:
                    lengths.add(tokens, trained)
                rows += len(counts)
                if monotonic() > told_at:
                    told_at = monotonic() + _PROGRESS_EVERY_S
                    tell(child.Progress(size * rows // file.metadata.num_rows, rows))
    except ProblemError as error:
        return CountResult(refused=Trouble(**asdict(error.problems[0])))
    return CountResult(statistics=lengths.statistics())


def _batches(file: pq.ParquetFile) -> Iterator[list[bytes]]:
    """The rows' JSON, some at a time."""
    for group in range(file.num_row_groups):
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=["json"]):
            yield batch.column(0).cast(pa.binary()).to_pylist()


def _counts(rows: Sequence[bytes], template: Template, tokenizer: Any) -> list[tuple[int, int]]:
    """Tokens and trained tokens of each row, of all its texts together. Raises ProblemError."""
    texts = [texts_of(example_of(row, template)) for row in rows]
    counts = iter(count_all([text.example for row in texts for text in row], template, tokenizer))
    grouped = [list(islice(counts, len(row))) for row in texts]
    return [(sum(one.tokens for one in row), sum(one.trained for one in row)) for row in grouped]


def _work(line: str, tell: child.Tell) -> None:
    request = CountRequest.from_json(line)
    result = json.dumps(asdict(count(request, tell)), ensure_ascii=False)
    (Path(request.folder) / RESULT_FILE).write_text(result, encoding="utf-8")


if __name__ == "__main__":
    leave_out_frameworks()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each batch has a thread already
    gc.set_threshold(_LOOK_FOR_CYCLES_AFTER)
    sys.exit(child.run(_work))
