"""The pieces of validation: lines, duplicates, lengths, encodings, the canonical files."""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.data_service.parquet_pages import (
    IndexWriter,
    Place,
    Stretch,
    chapters_of,
    contents_of,
    places_of,
    unpack_page,
)
from services.data_service.validation import canonical, duplicates
from services.data_service.validation.blocks import Rows
from services.data_service.validation.canonical import PAGE_ROWS, CanonicalWriter, Packer
from services.data_service.validation.canonical_schema import SCHEMA
from services.data_service.validation.duplicates import Duplicates, Repeat
from services.data_service.validation.encoding import CP932, EUC_JP, binary_kind, guess
from services.data_service.validation.excerpt import excerpt
from services.data_service.validation.findings import Findings
from services.data_service.validation.lengths import Lengths
from services.data_service.validation.lines import read_lines
from services.data_service.validation.records import Record, Records
from services.data_service.validation.scripts import TextList, measure

LIMIT = 20


def records_of(data: bytes, findings: Findings, limit: int) -> Iterator[Record]:
    lines = read_lines(io.BytesIO(data), limit)
    records = Records(findings, limit)
    for line in lines:
        record = records.read(line, lines)
        if record is not None:
            yield record


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=12), st.booleans())
def test_lines_are_where_they_say(lines: list[bytes], ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    found = list(read_lines(io.BytesIO(data), LIMIT))
    expected = [
        (number, line.rstrip(b"\r"))
        for number, line in enumerate(data.split(b"\n"), 1)
        if line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip()
    ]
    assert [line.number for line in found] == [number for number, _ in expected]
    for line, (_, content) in zip(found, expected, strict=True):
        assert data[line.offset :].startswith(line.data)
        bom = 3 if line.offset == 3 and data.startswith(b"\xef\xbb\xbf") else 0
        assert line.too_long == (len(content) - bom > LIMIT)
        assert line.too_long or line.data == content[bom:]


@given(st.binary(max_size=400))
def test_any_bytes_give_records_or_findings(data: bytes) -> None:
    findings = Findings()
    lines = list(read_lines(io.BytesIO(data), 100))
    for record in records_of(data, findings, 100):
        assert json.loads(record.text) == record.value
    assert lines or not findings


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12),
       st.sampled_from([None, 1, 4]))  # fmt: skip
def test_written_json_is_read_or_called_what_it_is(value: object, indent: int | None) -> None:
    findings = Findings()
    data = json.dumps(value, indent=indent).encode()
    records = list(records_of(data, findings, 1 << 20))
    if isinstance(value, dict) and (indent is None or not value):
        assert [record.value for record in records] == [value]
    else:
        assert {finding.reason for finding in findings.sorted()} <= {"NOT_ONE_OBJECT_PER_LINE", "NOT_AN_OBJECT"}


def test_duplicates_are_found_over_the_spilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_FLUSH_BYTES", 48)
    found = Duplicates(tmp_path)
    for start in range(0, 3000, 100):
        lines = np.arange(start, start + 100)
        fingerprints = (lines % 2991).astype(np.uint64)
        columns = lines + 1 if start in (2400, 2900) else None
        found.add(fingerprints, lines, lines * 10, columns)
    found.add(np.array([1], np.uint64), np.array([3000]), np.array([30_000]))
    assert any(tmp_path.iterdir())
    repeats = [Repeat(line, line, line * 10, line + 1) for line in range(2991, 3000)]
    assert found.result() == (10, [*repeats, Repeat(3000, 3000, 30_000)])
    assert list(tmp_path.iterdir()) == []


def test_lengths_of_long_rows_are_kept_roughly() -> None:
    lengths = Lengths()
    lengths.add(
        measure(
            TextList([("あ" * length,) for length in (10, 70_000, 900_000)]), np.arange(1, 4), np.zeros(3, np.uint64)
        )
    )
    told = lengths.statistics(0)
    assert (told.min_characters, told.max_characters) == (10, 900_000)
    assert 69_000 < told.median_characters <= 70_000
    assert sum(told.histogram_counts) == 3


@pytest.mark.parametrize(
    "text", ["質問: こんにちは", "カタカナだけ", "漢字", "ひらがな。、", "㈱テスト①", "ｶﾅと漢字の混在です"]
)
def test_japanese_encodings_are_told_apart(text: str) -> None:
    assert guess(text.encode("cp932")) == CP932
    if "①" not in text and "㈱" not in text:
        assert guess(text.encode("euc_jp")) == EUC_JP


def test_what_is_no_encoding_of_ours() -> None:
    assert guess(b"\xff\xfe\xfd") is None
    assert guess(b'{"text":"\xc0\xaf"}') is None


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"PK\x03\x04..word/document.xml", "Word (docx)"),
        (b"PK\x03\x04..", "ZIP"),
        (b"\x1f\x8b\x08", "gzip in gzip"),
        (bytes(range(32)) * 4, "a binary file"),
        (random.Random(0).randbytes(99) + b"\0", "a binary file"),
        (('{"text":"' + "日本語の文章" * 9 + '"}').encode("utf-16-le"), "a binary file"),
        (('{"text":"' + "ひらがな" * 9 + '"}').encode("utf-16-be"), "a binary file"),
        (('{"text":"\0' + "日本語の文章" * 9).encode()[:-1], None),
        ("日本語".encode(), None),
        (b"", None),
        (b"\ttab\r\nline\x1b[0m", None),
    ],
)
def test_binary_files_are_called_by_their_kind(head: bytes, kind: str | None) -> None:
    assert binary_kind(head) == kind


@given(st.text())
def test_excerpts_are_safe_to_show(text: str) -> None:
    shown = excerpt(text)
    assert len(shown) <= 200
    assert shown.isprintable()
    shown.encode()


def test_canonical_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "_GROUP_BYTES", 300 << 10)
    numbers = range(9000)
    texts = [f'{{"n":{number},"t":"{"あ" * 40}"}}'.encode() for number in numbers]
    lines = np.arange(9000) * 2 + 1
    with CanonicalWriter(tmp_path) as writer:
        for start in range(0, 9000, 700):
            part = texts[start : start + 700]
            pieces = [struct.pack("<I", len(text)) + text for text in part]
            ends = np.cumsum([len(each) for each in pieces], dtype=np.int32)
            rows = Rows(lines[start : start + 700], np.zeros(len(part), np.uint64), ends, b"".join(pieces))
            writer.write(Packer().pack(rows) if start == 2100 else rows)
    with pq.ParquetFile(tmp_path / "rows.parquet", page_checksum_verification=True) as file:
        assert file.schema_arrow == SCHEMA
        assert file.metadata.num_row_groups == 2
        assert file.metadata.row_group(0).column(2).compression == "ZSTD"
        table = file.read()
    assert table["index"].to_pylist() == list(numbers)
    assert table["line"].to_pylist() == lines.tolist()
    assert table["json"].to_pylist() == [text.decode() for text in texts]
    data = (tmp_path / "rows.parquet").read_bytes()
    index = (tmp_path / "rows.index").read_bytes()

    def page(place: Place, skip: int = 0) -> list[tuple[int, bytes]]:
        json, line = data[place.json_offset :][: place.json_bytes], data[place.line_offset :][: place.line_bytes]
        return list(unpack_page(json, line, skip))

    wanted = list(zip(lines.tolist(), texts, strict=True))
    places = pages_with(index, 0, 8999)
    assert [row for place in places for row in page(place)] == wanted
    assert max(len(page(place)) for place in places) == PAGE_ROWS
    for first, last in ((0, 0), (255, 256), (4321, 5000), (8999, 8999)):
        places = pages_with(index, first, last)
        assert len(places) <= (last - first) // PAGE_ROWS + 3
        found = [row for place in places for row in page(place)]
        assert found[first - places[0].first_row :][: last - first + 1] == wanted[first : last + 1]
    assert page(places[0], 60) == page(places[0])[60:]


def pages_with(index: bytes, first: int, last: int) -> Sequence[Place]:
    """As a reader finds them that reads no more of the index than it needs."""
    contents = read(index, contents_of(len(index)))
    return places_of(read(index, chapters_of(len(index), contents, first, last)), first, last)


def read(data: bytes, stretch: Stretch) -> bytes:
    assert stretch.offset >= 0
    return data[stretch.offset :][: stretch.size]


@pytest.mark.parametrize("pages", [1, 511, 512, 513, 1024, 1300])
def test_any_page_is_found_by_a_part_of_the_index(tmp_path: Path, pages: int) -> None:
    writer = IndexWriter(tmp_path / "rows.index")
    written = [Place(3 * number, number, 1, 2 * number, 2) for number in range(pages)]
    for place in written:
        writer.append(place)
    writer.close()
    index = (tmp_path / "rows.index").read_bytes()
    for first, last in ((0, 1), (1500, 1540), (1535, 1536), (3 * pages - 4, 3 * pages - 1)):
        first, last = max(0, min(first, 3 * pages - 1)), min(last, 3 * pages - 1)
        assert list(pages_with(index, first, last)) == written[first // 3 : last // 3 + 1]


def test_pages_of_long_rows_are_short(tmp_path: Path) -> None:
    text = b'{"text":"' + b"a" * 100_000 + b'"}'
    data = (struct.pack("<I", len(text)) + text) * 30
    ends = np.arange(1, 31, dtype=np.int32) * (len(data) // 30)
    with CanonicalWriter(tmp_path) as writer:
        writer.write(Rows(np.arange(30) + 1, np.zeros(30, np.uint64), ends, data))
    places = pages_with((tmp_path / "rows.index").read_bytes(), 0, 29)
    assert [place.first_row for place in places] == list(range(0, 30, 5))


def test_no_format_but_parquet_needs_pyarrow() -> None:
    code = "import sys, services.data_service.validation.validator; print('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"
