"""A validation report as the command line shows it."""

from __future__ import annotations

import io

from aift.cli.report import render_report
from aift.data.v1 import data_pb2
from rich.console import Console


def shown(report: data_pb2.ValidationReport) -> str:
    console = Console(file=io.StringIO(), width=200)
    render_report(report, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_file_that_breaks_off_is_not_called_wrong_in_no_row() -> None:
    report = data_pb2.ValidationReport(rows=1, valid_rows=1)
    report.findings.add(reason="ARRAY_BROKEN", severity=data_pb2.SEVERITY_ERROR, count=1).examples.add(line=2)
    text = shown(report)
    assert "0 " not in text
    assert "1 rows that were are valid" in text or "読み取れた 1 行は有効です" in text


def test_what_is_not_known_is_left_out() -> None:
    report = data_pb2.ValidationReport()
    report.findings.add(reason="BINARY_COLUMN", severity=data_pb2.SEVERITY_ERROR, count=1).examples.add(field="image")
    text = shown(report)
    assert "image" in text
    for word in ("line 0", "0 行目", "file:", "ファイル:", "form:", "形式:"):
        assert word not in text


def test_places_tell_their_column() -> None:
    report = data_pb2.ValidationReport()
    finding = report.findings.add(reason="INVALID_JSON", severity=data_pb2.SEVERITY_ERROR, count=2)
    finding.examples.add(line=1, column=242, excerpt="b}")
    finding.examples.add(line=7, excerpt="c")
    text = shown(report)
    assert "line 1, column 242" in text or "1 行目 242 文字目" in text
    assert "column 0" not in text
    assert "0 文字目" not in text
