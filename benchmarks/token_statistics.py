"""Tokens a second of CountDatasetTokens' process beside the bare tokenizer on the same rows, in the same run.

    python -m benchmarks.token_statistics [--rows 200000] [--form qa|chat] [--rounds 3] [--base-model DIR]

The process starts, reads rows.parquet, parses and renders every row, and tells which tokens are trained. The bare
tokenizer gets the finished texts in batches of 4,096 and returns their tokens. Both may use all cores. The
time of the process is given with its start, which the bare tokenizer's time leaves out, and without. The two take
turns; the share is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service.supervision.count_request import RESULT_FILE, CountRequest
from services.data_service.validation.canonical_schema import SCHEMA
from services.text.template import Template, for_version
from services.text.tokenizer import leave_out_frameworks, load

ROOT = Path(__file__).resolve().parents[1]
BATCH = 4096


def rows(count: int, form: str) -> Iterator[dict[str, object]]:
    """Japanese questions and answers of some hundred characters, all different."""
    chance = random.Random(1)  # noqa: S311 - no secret
    sentences = _sentences()
    for number in range(count):
        answer = "".join(chance.choices(sentences, k=6))
        question = f"{number} 番について説明してください。"
        if form == "chat":
            turns = [("user", question), ("assistant", answer)]
            yield {"messages": [{"role": role, "content": content} for role, content in turns]}
        else:
            yield {"text": f"質問: {question}\n回答: {answer}"}


def _sentences() -> list[str]:
    source = (ROOT / "samples" / "data" / "sample_training_data.jsonl").read_text(encoding="utf-8")
    texts = [json.loads(line)["text"] for line in source.splitlines()]
    return [sentence + "。" for text in texts for sentence in text.split("。") if 8 < len(sentence) < 80]


def write(path: Path, count: int, form: str) -> None:
    """The rows as a version's rows.parquet."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=False) as writer:
        group: list[str] = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows(count, form)]
        for first in range(0, count, BATCH):
            part = group[first : first + BATCH]
            places = list(range(first, first + len(part)))
            columns = [places, [place + 1 for place in places], part]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))


def counted(folder: Path, base_model: Path, template: Template) -> tuple[dict[str, int], float]:
    """What the process counts, and its time."""
    request = CountRequest(
        rows=str(folder / "rows.parquet"), tokenizer=str(base_model), template=template.to_json(), folder=str(folder)
    )
    argv = [sys.executable, "-m", "services.data_service.supervision.counting", request.to_json()]
    started = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    took = time.perf_counter() - started
    found: dict[str, int] = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))["statistics"]
    return found, took


def bare(folder: Path, base_model: Path, template: Template) -> tuple[int, float]:
    """Tokens that the bare tokenizer makes of the texts that the process renders, and its time."""
    from services.data_service.supervision.rendering import bound, example_of
    from services.text.supervision import parts_of

    tokenizer, fixed = bound(str(base_model), template.to_json())
    values = pq.read_table(folder / "rows.parquet", columns=["json"]).column(0).to_pylist()
    groups = parts_of([example_of(row, fixed) for row in values], fixed, tokenizer)
    texts = [part.text for group in groups for part in group]
    fresh = load(base_model)
    started = time.perf_counter()
    tokens = 0
    for first in range(0, len(texts), BATCH):
        batch = fresh(texts[first : first + BATCH], add_special_tokens=False, return_attention_mask=False)
        tokens += sum(map(len, batch["input_ids"]))
    return tokens, time.perf_counter() - started


def main() -> None:
    """Prints both rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--form", choices=("qa", "chat"), default="qa")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base-model", type=Path, default=ROOT / "samples" / "models" / "tiny-ja")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    leave_out_frameworks()
    form, markers = ("MESSAGES", ("", "")) if options.form == "chat" else ("TEXT", ("質問: ", "\n回答: "))
    template = for_version(form, "COMPLETION", *markers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "rows.parquet", 1, options.form)
        start = statistics.median(counted(folder, options.base_model, template)[1] for _ in range(options.rounds))
        write(folder / "rows.parquet", options.rows, options.form)
        turns = [_turn(folder, options.base_model, template, start) for _ in range(options.rounds)]
    tokens, rate, bare_rate, share = (statistics.median(column) for column in zip(*turns, strict=True))
    print(f"rows                  {options.rows:>12,} ({tokens:,} tokens; {start:.1f} s to start)")
    print(f"count                 {rate:>12,.0f} tokens/s")
    print(f"bare tokenizer        {bare_rate:>12,.0f} tokens/s")
    print(f"count / bare          {share:>12.2f} ({', '.join(f'{turn[3]:.2f}' for turn in turns)})")


def _turn(folder: Path, base_model: Path, template: Template, start: float) -> tuple[int, float, float, float]:
    """Tokens, the rates of the process and of the bare tokenizer, and the share."""
    found, took = counted(folder, base_model, template)
    tokens, bare_took = bare(folder, base_model, template)
    rate, bare_rate = found["tokens"] / (took - start), tokens / bare_took
    return found["tokens"], rate, bare_rate, rate / bare_rate


if __name__ == "__main__":
    main()
