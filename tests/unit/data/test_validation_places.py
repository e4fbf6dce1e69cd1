"""Where findings say that something is: line, column and byte of a row, however rows share their lines."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.data_service.domain import BadRows, FileFormat, ReadOptions
from services.data_service.report import Example
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.sources import json_array
from services.data_service.validation.validator import validate

GOOD = '{"text":"あ"}'


def found(
    folder: Path, data: bytes, format_: FileFormat = FileFormat.DETECT, **options: Any
) -> tuple[dict[str, list[Example]], list[Any]]:
    """The places of each reason, and the rows that were set aside."""
    source, output = folder / "input", folder / "output"
    source.write_bytes(data)
    output.mkdir(exist_ok=True)
    read = ReadOptions(format=format_, bad_rows=BadRows.SET_ASIDE)
    request = ValidationRequest(input_file=str(source), output_dir=str(output), filename="", read=read, **options)
    report = validate(request, lambda progress: None)
    aside = output / "set-aside.jsonl"
    rows = [json.loads(line) for line in aside.read_text().splitlines()] if aside.exists() else []
    return {finding.reason: finding.examples for finding in report.findings}, rows


@pytest.mark.parametrize(
    ("row", "reason", "fault"),
    [
        ('{"text":1}', "WRONG_TYPE", '{"text":1}'),
        ("3", "NOT_AN_OBJECT", "3"),
        ('{"text":"い","n":NaN}', "NON_FINITE_NUMBER", "NaN"),
        ('{"text":"い",\n "n":1e999}', "NON_FINITE_NUMBER", "1e999"),
        ('{"text":"い","text":"う"}', "DUPLICATE_FIELD", '{"text":"い"'),
        ('{"text":"い\\u0007"}', "CONTROL_CHARACTERS", '{"text":"い'),
        ('{"text":"い","x":う}', "INVALID_JSON", "う}"),
        ('{"text":"い",\n  "x":う}', "INVALID_JSON", "う}"),
        (GOOD, "DUPLICATE_ROWS", GOOD),
        ('{"text":"' + "長" * 300 + '"}', "LINE_TOO_LONG", '{"text":"長'),
    ],
    ids=lambda value: None if len(value) < 40 else "long",
)
@pytest.mark.parametrize("before", ["[", "\ufeff [ ", "[\n", "[\r\n  ", '[{"text":"漢字"},'])
@pytest.mark.parametrize("size", [11, 1 << 20])
def test_rows_of_an_array_are_found_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, reason: str, fault: str, before: str, size: int
) -> None:
    monkeypatch.setattr(json_array, "_READ_BYTES", size)
    data = f"{before}{GOOD}, {row},\n{{}}]"
    places, _ = found(tmp_path, data.encode(), max_line_bytes=500)
    at = data.rindex(fault)
    text = data[:at].removeprefix("\ufeff")
    place = places[reason][0]
    assert (place.line, place.column) == (text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1)
    assert place.byte_offset == len(data[:at].encode())


@pytest.mark.parametrize("end", ["", "\n"])
def test_what_ends_an_array_is_found_where_it_is(tmp_path: Path, end: str) -> None:
    for data, reason, fault in [
        (f"[{GOOD},{GOOD} {GOOD}]", "ARRAY_BROKEN", f"{GOOD}]"),
        (f'[{GOOD},{{"text":"い}},{GOOD}]', "ARRAY_BROKEN", 'text":"あ"}]'),
        (f"[{GOOD}] {GOOD}", "CONTENT_AFTER_ARRAY", GOOD),
        (f'{GOOD}\n {GOOD}\n {{"text": oops}}', "ARRAY_BROKEN", "oops"),
    ]:
        place = found(tmp_path, (data + end).encode(), FileFormat.JSON)[0][reason][0]
        before = data[: data.rindex(fault)]
        assert (place.line, place.column) == (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1), data
        assert place.byte_offset == len(before.encode())


@pytest.mark.parametrize("size", [8, 1 << 20])
@pytest.mark.parametrize("before", ["[", "\ufeff[\n", f"[{GOOD},\n {GOOD},"])
def test_bytes_that_are_not_utf8_are_found_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, size: int
) -> None:
    monkeypatch.setattr(json_array, "_READ_BYTES", size)
    head = before + '{"text":"ab'
    place = found(tmp_path, head.encode() + b'\xff\xff\xff"}]')[0]["NOT_UTF8"][0]
    assert (place.line, place.column) == (
        head.count("\n") + 1,
        len(head.removeprefix("\ufeff").rpartition("\n")[2]) + 1,
    )
    assert place.byte_offset == len(head.encode())


def test_rows_on_one_line_are_set_aside_in_their_order(tmp_path: Path) -> None:
    data = f'[{{"text":2}},{GOOD},{{"text":b}},{{"text":1}}]'
    _, rows = found(tmp_path, data.encode())
    assert [(row["line"], data[row["column"] - 1 :].startswith(row["text"]), row["text"]) for row in rows] == [
        (1, True, '{"text":2}'),
        (1, True, '{"text":b}'),
        (1, True, '{"text":1}'),
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=4), st.text() | st.integers(-9, 9) | st.lists(st.none())), max_size=20),
       st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 64))  # fmt: skip
def test_arrays_are_taken_apart_wherever_the_file_is_cut(
    rows: list[Any], indent: int | None, ascii_: bool, size: int
) -> None:
    data = json.dumps(rows, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_READ_BYTES", size)
        path = Path(name) / "input"
        path.write_bytes(data)
        packets = list(json_array.JsonArray(path, 1 << 20).blocks())
    texts = [text for packet in packets for text in packet.texts]
    assert [json.loads(text) for text in texts] == rows
    for packet in packets:
        for text, line, offset, column in zip(
            packet.texts, packet.numbers, packet.offsets, packet.columns, strict=True
        ):
            before = data[:offset].decode("utf-8", "surrogatepass")
            assert data[offset:].startswith(text)
            assert (line, column) == (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
