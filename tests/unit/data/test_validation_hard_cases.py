"""Files that break programs which were not made for them: sizes, depths, strange bytes, a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from services.data_service.child import DISK_FULL
from services.data_service.domain import BadRows, ReadOptions
from services.data_service.report import Report
from services.data_service.validation.request import REPORT_FILE, ValidationRequest
from tests.processes import descendants, memory

GOOD = '{"text":"a"}\n'


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """`run(source, **options)`: report, exit status and peak memory of a checking process."""
    output = tmp_path / "output"
    output.mkdir()

    def check(source: Path, **options: Any) -> tuple[Report | None, int, int]:
        request = ValidationRequest(input_file=str(source), output_dir=str(output), filename=source.name, **options)
        argv = [sys.executable, "-m", "services.data_service.validation", request.to_json()]
        peak = 0
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                peak = max(peak, memory(process.pid))
                time.sleep(0.02)
        file = output / REPORT_FILE
        report = Report.from_json(json.loads(file.read_text())) if process.returncode == 0 else None
        return report, process.returncode, peak

    return check


def first(report: Report | None) -> tuple[str, int, int]:
    assert report is not None
    finding = report.findings[0]
    return finding.reason, finding.count, finding.examples[0].line


def test_one_line_of_a_gigabyte(run: Any, tmp_path: Path) -> None:
    source = tmp_path / "long.jsonl"
    with source.open("wb") as file:
        file.write(GOOD.encode() + b'{"text":"' + b"a" * 100_000)
        file.seek(1 << 30)  # the rest of the line takes no room on the disk
        file.write(b'"}\n' + GOOD.encode())
    report, _, peak = run(source, read=ReadOptions(bad_rows=BadRows.SET_ASIDE))
    assert first(report) == ("LINE_TOO_LONG", 1, 2)
    assert (report.valid, report.rows, report.valid_rows) == (True, 3, 2)
    assert peak < 150 << 20
    (aside,) = (tmp_path / "output" / "set-aside.jsonl").read_text().splitlines()
    assert json.loads(aside)["text_cut"]


def test_nesting_ten_thousand_deep(run: Any, tmp_path: Path) -> None:
    source = tmp_path / "deep.jsonl"
    deep = "[" * 10_000 + "]" * 10_000
    source.write_text(f'{GOOD}{{"text":"a","deep":{deep}}}\n{{"text":"a","deep":{deep[9_500:10_500]}}}\n{GOOD}')
    report, _, _ = run(source)
    assert first(report) == ("NESTED_TOO_DEEPLY", 2, 2)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_come_through_whole(run: Any, tmp_path: Path, end: str) -> None:
    texts = ["a\u2028b\u2029c\u0085d", "質問: 一\n回答: 二", "tab\there", 'quote " \\ / slash', "😀𠮷", "\r\n"]
    source = tmp_path / "rows.jsonl"
    rows = [json.dumps({"text": text + "。", "n": 2**70, "f": 1e-7}, ensure_ascii=False) for text in texts]
    source.write_bytes((end + end).join(["\ufeff" + rows[0], *rows[1:]]).encode())
    report, _, _ = run(source)
    assert report is not None
    assert report.valid
    stored = [json.loads(row) for row in pq.read_table(tmp_path / "output" / "rows.parquet")["json"].to_pylist()]
    assert stored == [json.loads(row) for row in rows]


def test_ten_thousand_small_files(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number:05}.jsonl").write_text(f'{{"text":"{number}"}}\n')
    report, _, peak = run(folder)
    assert report is not None
    assert (report.valid, report.rows) == (True, 10_000)
    assert peak < 250 << 20
    with pq.ParquetFile(tmp_path / "output" / "rows.parquet") as file:
        assert file.metadata.num_row_groups <= 2
        assert file.read()["json"].to_pylist() == [f'{{"text":"{number}"}}' for number in range(10_000)]


@pytest.mark.parametrize("path", ["rows.parquet", "rows.index", "set-aside.jsonl"])
def test_a_full_disk_has_an_exit_status_of_its_own(run: Any, tmp_path: Path, path: str) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(f'{{"text":"{number}"}}\n{{"text":{number}}}\n' for number in range(5000)))
    (tmp_path / "output" / path).symlink_to("/dev/full")
    report, status, _ = run(source, read=ReadOptions(bad_rows=BadRows.SET_ASIDE))
    assert (report, status) == (None, DISK_FULL)
    assert not list((tmp_path / "output").glob("tmp*"))


def test_memory_is_bounded_and_no_helper_stays(run: Any, tmp_path: Path) -> None:
    source = tmp_path / "large.jsonl"
    with source.open("w") as file:
        for number in range(60_000):
            file.write(
                json.dumps({"text": f"質問: {number}\n回答: " + "日本語の文章。" * 30}, ensure_ascii=False) + "\n"
            )
    assert source.stat().st_size > 32 << 20
    report, _, peak = run(source)
    assert report is not None
    assert (report.valid, report.rows) == (True, 60_000)
    assert peak < 250 << 20
    assert descendants("data_service.validation") == []
