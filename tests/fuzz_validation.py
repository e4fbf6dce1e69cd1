"""Validation against files that nobody wrote: `python -m tests.fuzz_validation --minutes 10 [--seed N]`.

Each round takes a good file of some format, damages it, and has it checked under random options. Whatever comes in, the
check must end with a report that can be shown, the quick look must agree with the long one, and what is stored must be
rows that can be read. Stops at the first file for which it is not so, and leaves it in --keep.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from services.data_service.domain import BadRows, FileFormat, ReadOptions, RowForm, TextEncoding, ToolTurns, TrainOn
from services.data_service.report import Report
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.validator import validate

_PIECES = [b"\n", b"\r", b'"', b"{", b"}", b"[", b"]", b",", b"\t", b"\\", b"\\u0000", b"\\ud800", b"\0", b"\xff", b"NaN",
           b"\xef\xbb\xbf", b"\xff\xfe", b"1e999", "\u2028あ".encode(), "あ".encode("cp932"), b'""', b" " * 300]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    options = parser.parse_args()
    until, rounds = time.monotonic() + 60 * options.minutes, 0
    while time.monotonic() < until:
        chance = random.Random(options.seed + rounds)
        data, asked = damaged(chance), request(chance)
        try:
            examine(data, asked)
        except Exception:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{options.seed + rounds}").write_bytes(data)
            print(f"seed {options.seed + rounds}: {asked}")
            raise
        rounds += 1
    print(f"{rounds} files, seeds from {options.seed} on: nothing found")


def examine(data: bytes, asked: dict[str, Any]) -> None:
    """Checks one file twice."""
    quick, files = checked(data, asked, quick=True)
    assert (quick, files) == checked(data, asked, quick=False)
    json.dumps(quick.to_json(), ensure_ascii=False).encode()
    assert all(finding.en.isprintable() and finding.ja.isprintable() for finding in quick.findings)
    assert quick.valid_rows <= quick.rows
    if quick.valid:
        rows = pq.read_table(pa.BufferReader(files["rows.parquet"]))["json"].to_pylist()
        assert len([json.loads(row) for row in rows]) == quick.valid_rows == quick.statistics.rows > 0
    for line in files.get("set-aside.jsonl", b"").splitlines():
        assert json.loads(line)["reasons"]


def checked(data: bytes, asked: dict[str, Any], *, quick: bool) -> tuple[Report, dict[str, bytes]]:
    """The report of a file, and what was written."""
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name) / "input", Path(name) / "output"
        source.write_bytes(data)
        output.mkdir()
        report = validate(
            ValidationRequest(input_file=str(source), output_dir=str(output), **asked),
            lambda progress: None,
            quick=quick,
        )
        return report, {path.name: path.read_bytes() for path in output.iterdir()}


def damaged(chance: random.Random) -> bytes:
    """A good file, cut, glued and peppered."""
    data = chance.choice(_FILES)(chance)
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        at, to = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
        damage = chance.choice(["cut", "drop", "twice", "insert", "bit"])
        if damage == "cut":
            data = data[:at]
        elif damage == "drop":
            data = data[:at] + data[min(to, at + 9) :]
        elif damage == "twice":
            data = data[:to] + data[at:]
        elif damage == "insert":
            data = data[:at] + chance.choice(_PIECES) + data[at:]
        elif data[at:]:
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    wrap = chance.choice([bytes, bytes, bytes, gzip.compress, zstandard.compress])
    packed: bytes = wrap(data)
    return packed if chance.random() < 0.8 else packed[: chance.randrange(len(packed) + 1)]


def request(chance: random.Random) -> dict[str, Any]:
    """Options, mostly the usual ones."""
    rarely = chance.random() < 0.2
    return {
        "filename": chance.choice(["", "", "a.jsonl", "a.csv.gz", "a.txt"]),
        "form": chance.choice(list(RowForm)) if rarely else RowForm.DETECT,
        "train_on": chance.choice(list(TrainOn)),
        "max_line_bytes": chance.choice([100, 1000, 1 << 20]),
        "read": ReadOptions(
            format=chance.choice(list(FileFormat)) if rarely else FileFormat.DETECT,
            encoding=chance.choice(list(TextEncoding)) if rarely else TextEncoding.DETECT,
            columns={"text": "id"} if chance.random() < 0.1 else {},
            bad_rows=chance.choice(list(BadRows)),
            tool_turns=chance.choice(list(ToolTurns)),
        ),
    }


def _rows(chance: random.Random) -> list[dict[str, Any]]:
    said = [chance.choice(["質問: a\n回答: b", "あ", "=1+1", 'q"', "", "\u0007", "x" * 150, "漢字"]) for _ in range(3)]
    turns = [{"role": "user", "content": said[0]}, {"role": "assistant", "content": said[1]}]
    form = chance.choice(
        [
            {"text": said[0], "id": said[1]},
            {"instruction": said[0], "input": said[1], "output": said[2]},
            {"prompt": said[0], "completion": said[1], "label": chance.random() < 0.5},
            {"prompt": said[0], "chosen": said[1], "rejected": said[2]},
            {"messages": turns},
            {"conversations": [{"from": turn["role"], "value": turn["content"]} for turn in turns]},
        ]
    )
    return [{**form, "n": number} for number in range(chance.randrange(1, 30))]


def _jsonl(chance: random.Random) -> bytes:
    ascii_ = chance.random() < 0.3
    return "\n".join(json.dumps(row, ensure_ascii=ascii_) for row in _rows(chance)).encode(
        chance.choice(["utf-8"] * 6 + ["utf-16", "cp932", "euc_jp", "utf-8-sig"])
    )


def _array(chance: random.Random) -> bytes:
    return json.dumps(_rows(chance), indent=chance.choice([None, 1]), ensure_ascii=False).encode()


def _table(separator: str) -> Callable[[random.Random], bytes]:
    def write(chance: random.Random) -> bytes:
        rows = _rows(chance)
        lines = [separator.join(rows[0]), *(separator.join(f'"{value}"' for value in row.values()) for row in rows)]
        return "\r\n".join(lines).encode()

    return write


def _parquet(chance: random.Random) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(_rows(chance)), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _paragraphs(chance: random.Random) -> bytes:
    return "\n\n".join(str(next(iter(row.values()))) for row in _rows(chance)).encode()


_FILES = [_jsonl, _jsonl, _jsonl, _array, _table(","), _table("\t"), _parquet, _paragraphs]

if __name__ == "__main__":
    main()
