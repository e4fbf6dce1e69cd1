"""Files of every format, compression and encoding: what is read, and what is said where it cannot be."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from services.data_service.domain import BadRows, FileFormat, ReadOptions, RowForm, TextEncoding
from services.data_service.report import Report
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.validator import validate

PAIRS = [{"instruction": f"{n} は？", "output": f"{n}、です。"} for n in range(3)]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in PAIRS)
CSV = "instruction,output\n" + "".join(f'{row["instruction"]},"{row["output"]}"\n' for row in PAIRS)


def short(value: object) -> str | None:
    """Names of cases without whole files in them."""
    return "data" if (isinstance(value, bytes | str) and len(value) > 20) or isinstance(value, bytes) else None


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """`check(data, name, **options)`: report, rows and rows set aside of a file; options of reading and of requests."""

    def run(data: str | bytes | Path, name: str = "", **options: Any) -> tuple[Report, list[Any], list[Any]]:
        output = tmp_path / "output"
        output.mkdir(exist_ok=True)
        source = data if isinstance(data, Path) else tmp_path / "input"
        if not isinstance(data, Path):
            source.write_bytes(data if isinstance(data, bytes) else data.encode())
        read = ReadOptions(**{k: v for k, v in options.items() if k in ReadOptions.__dataclass_fields__})
        rest = {k: v for k, v in options.items() if k in ValidationRequest.__dataclass_fields__}
        request = ValidationRequest(input_file=str(source), output_dir=str(output), filename=name, read=read, **rest)
        report = validate(ValidationRequest.from_json(request.to_json()), lambda progress: None)
        assert (output / "rows.parquet").exists() == (output / "rows.index").exists() == report.valid
        return report, list(rows_of(output)), list(asides_of(output))

    return run


def rows_of(output: Path) -> Iterator[Any]:
    if (output / "rows.parquet").exists():
        yield from map(json.loads, pq.read_table(output / "rows.parquet")["json"].to_pylist())


def asides_of(output: Path) -> Iterator[Any]:
    if (output / "set-aside.jsonl").exists():
        yield from map(json.loads, (output / "set-aside.jsonl").read_text().splitlines())


def reasons(report: Report) -> list[str]:
    return sorted({finding.reason for finding in report.findings} - {"TOO_FEW_ROWS"})


def parquet(rows: list[Any], schema: pa.Schema | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("data", "format_", "encoding", "compression"),
    [
        (JSONL, FileFormat.JSONL, "UTF-8", ""),
        (json.dumps(PAIRS, indent=2), FileFormat.JSON, "UTF-8", ""),
        ("\ufeff" + json.dumps(PAIRS, ensure_ascii=False), FileFormat.JSON, "UTF-8", ""),
        (CSV, FileFormat.CSV, "UTF-8", ""),
        ("\ufeff" + CSV.replace("\n", "\r\n"), FileFormat.CSV, "UTF-8", ""),
        (CSV.replace(",", "\t"), FileFormat.TSV, "UTF-8", ""),
        (parquet(PAIRS), FileFormat.PARQUET, "", ""),
        (gzip.compress(JSONL.encode()), FileFormat.JSONL, "UTF-8", "gzip"),
        (gzip.compress(CSV.encode()[:50]) + gzip.compress(CSV.encode()[50:]), FileFormat.CSV, "UTF-8", "gzip"),
        (zstandard.compress(json.dumps(PAIRS).encode()), FileFormat.JSON, "UTF-8", "zstd"),
        (gzip.compress(parquet(PAIRS)), FileFormat.PARQUET, "", "gzip"),
        (JSONL.encode("utf-16"), FileFormat.JSONL, "UTF-16", ""),
        (gzip.compress(CSV.encode("utf-16")), FileFormat.CSV, "UTF-16", "gzip"),
    ],
    ids=short,
)
def test_every_format_gives_the_same_rows(
    check: Any, data: str | bytes, format_: FileFormat, encoding: str, compression: str
) -> None:
    report, rows, _ = check(data)
    assert rows == [
        row if format_ is not FileFormat.TSV else {**row, "output": row["output"].replace(",", "\t")} for row in PAIRS
    ]
    assert (report.format, report.encoding, report.compression) == (format_, encoding, compression)
    assert report.template.form is RowForm.INSTRUCTION
    assert report.format_evidence_en
    assert report.format_evidence_ja


def test_paragraphs_of_plain_text_are_rows(check: Any) -> None:
    report, rows, _ = check("\n一行目\r\n二行目\r\n \n\n三行目", "novel.txt")
    assert rows == [{"text": "一行目\n二行目"}, {"text": "三行目"}]
    assert (report.format, report.template.form) == (FileFormat.TEXT, RowForm.TEXT)


def test_long_paragraphs_are_told_of(check: Any) -> None:
    report, rows, asides = check("短い\n\n" + "長" * 50 + "\n\nまた", bad_rows=BadRows.SET_ASIDE, max_line_bytes=40)
    assert (reasons(report), rows) == (["LINE_TOO_LONG"], [{"text": "短い"}, {"text": "また"}])
    assert asides[0]["line"] == 3


@pytest.mark.parametrize("encoding", [TextEncoding.CP932, TextEncoding.EUC_JP])
@pytest.mark.parametrize(
    "data", [JSONL, CSV, json.dumps(PAIRS, ensure_ascii=False), "ただの文章\n\nもう一つの文章"], ids=short
)
def test_other_encodings_are_offered_and_never_converted_unasked(check: Any, data: str, encoding: TextEncoding) -> None:
    written = data.encode(encoding.lower())
    report, rows, _ = check(written)
    assert (reasons(report), rows) == (["NOT_UTF8"], [])
    assert encoding in report.findings[0].en
    assert encoding in report.findings[0].ja
    report, rows, _ = check(written, encoding=encoding)
    assert (report.valid, rows) == (True, check(data)[1])
    assert "chosen by the user" in report.format_evidence_en


def test_a_wrong_encoding_is_told_of(check: Any) -> None:
    report, _, _ = check('{"text":"a"}\n{"text":"\u2764"}\n', encoding=TextEncoding.EUC_JP)
    assert reasons(report) == ["NOT_IN_ENCODING"]
    assert report.findings[0].examples[0].line == 2
    assert check("{}".encode("utf-16")[:5])[0].findings[0].reason == "NOT_IN_ENCODING"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(JSONL.encode())[:-9], "COMPRESSION_TRUNCATED"),
        (zstandard.compress(JSONL.encode())[:-3], "COMPRESSION_TRUNCATED"),
        (gzip.compress(JSONL.encode())[:-8] + b"\0" * 8, "COMPRESSION_CORRUPT"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 20, "COMPRESSION_CORRUPT"),
        (gzip.compress(gzip.compress(JSONL.encode())), "NOT_TEXT"),
        (gzip.compress(b""), "EMPTY_FILE"),
    ],
    ids=short,
)
def test_compressed_files_that_cannot_be_read(check: Any, data: bytes, reason: str) -> None:
    report, _, _ = check(data, bad_rows=BadRows.SET_ASIDE)
    assert (report.valid, report.findings[0].reason) == (False, reason)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_bombs_stop_at_the_limit(check: Any, compress: Any, tmp_path: Path) -> None:
    data = compress(b'{"text":"' + b"a" * (80 << 20))
    assert len(data) * 200 < 80 << 20
    report, _, _ = check(data)
    assert reasons(report) == ["EXPANDS_TOO_MUCH"]
    assert check(compress(JSONL.encode()), max_unpacked_bytes=50)[0].findings[0].reason == "EXPANDS_TOO_MUCH"


@pytest.mark.parametrize(
    ("data", "reason", "line", "count"),
    [
        ('text,n\na,1\n"b\nc,3\n', "UNCLOSED_QUOTE", 3, 1),
        ('text,n\na,1\n"b"c"d,2\ne,3\n', "UNCLOSED_QUOTE", 3, 1),
        ('text,n\n"a\nb",1\n"c,2\nd,3\n', "UNCLOSED_QUOTE", 4, 1),
        ('text,n\na,1\n"b"c,2\n', "MISPLACED_QUOTE", 3, 1),
        ("text,n\na,1\nb\nc,3,4\n", "WRONG_COLUMN_COUNT", 3, 2),
        ("text,text\na,1\n", "BAD_HEADER", 1, 1),
        ("text,\na,1\n", "BAD_HEADER", 1, 1),
        ("text,n\n" + "a" * 500 + ",1\n", "LINE_TOO_LONG", 2, 1),
        ("text,n\n ,1\n", "EMPTY_FIELD", 2, 1),
    ],
)
def test_tables_that_are_wrong(check: Any, data: str, reason: str, line: int, count: int) -> None:
    report, _, _ = check(data, max_line_bytes=200)
    assert (report.valid, report.findings[0].reason) == (False, reason)
    assert sum(finding.count for finding in report.findings if finding.reason == reason) == count
    assert report.findings[0].examples[0].line == line


@pytest.mark.parametrize(
    ("broken", "behind"),
    [
        ('"b"c,2', "d,3"),  # a quote within the field, on one line
        ('"b,2', "d,3\ne,4"),  # never closed
        ('"b,2', 'd,3\ne,"4"'),  # closed by the quote of another row
        ('"b,2', '"d",3\n"e,4'),  # several
        ('b,2,"x', ""),  # the last line
    ],
)
def test_a_line_with_a_wrong_quote_is_set_aside(check: Any, broken: str, behind: str) -> None:
    data = f"text,n\na,1\n{broken}\n{behind}"
    report, rows, asides = check(data, bad_rows=BadRows.SET_ASIDE)
    good = [line.replace('"', "").split(",") for line in behind.splitlines() if line.count('"') % 2 == 0]
    assert rows == [{"text": text, "n": n} for text, n in [("a", "1"), *good]]
    assert (asides[0]["line"], asides[0]["reasons"], asides[0]["text"]) == (3, ["MISPLACED_QUOTE"], broken)
    assert (report.valid, len(rows) + len(asides)) == (True, report.rows)
    assert "MISPLACED_QUOTE" in reasons(check(data)[0])


def test_quoted_fields_keep_their_line_breaks_and_lines_their_numbers(check: Any) -> None:
    report, rows, asides = check('text,n\n"a\nb",1\nc\n"d ""e""",2\n', bad_rows=BadRows.SET_ASIDE)
    assert rows == [{"text": "a\nb", "n": "1"}, {"text": 'd "e"', "n": "2"}]
    assert [(aside["line"], aside["reasons"], aside["text"]) for aside in asides] == [(4, ["WRONG_COLUMN_COUNT"], "c")]
    assert (report.valid, report.set_aside_rows, report.rows, report.valid_rows) == (True, 1, 3, 2)


def test_formulas_are_kept_as_text_and_told_of(check: Any) -> None:
    report, rows, _ = check('text,n\n=1+1,"@SUM(A1)"\n- 項目,-3\n')
    assert rows == [{"text": "=1+1", "n": "@SUM(A1)"}, {"text": "- 項目", "n": "-3"}]
    assert [(f.reason, f.count) for f in report.findings if f.reason == "FORMULA"] == [("FORMULA", 2)]


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        ('[{"text":"a"},\n{"text":"b"', "ARRAY_BROKEN", 2),
        ('[{"text":"a"}\n{"text":"b"}]', "ARRAY_BROKEN", 2),
        ('[{"text":"a"},{"text":"b},{"text":"c"}]', "ARRAY_BROKEN", 1),
        ('[{"text":"a"},\n{"text":"b]},\n  {"text":"c"}]', "ARRAY_BROKEN", 2),
        ('[{"text":"a"},\n{"text":b}]', "INVALID_JSON", 2),
        ('[{"text":"a"},\n]', "INVALID_JSON", 2),
        ('[{"text":"a"}', "ARRAY_BROKEN", 1),
        ('[{"text":"a"}]\n[{"text":"b"}]', "CONTENT_AFTER_ARRAY", 2),
        ('[{"text":"a"},\n{"text":"a","n":NaN}]', "NON_FINITE_NUMBER", 2),
        ('[{"text":"a"},\n\n3]', "NOT_AN_OBJECT", 3),
        ('[{"text":"a"},\n{"text":"' + "a" * 300 + '"}]', "LINE_TOO_LONG", 2),
        ('[{"n":' + "[" * 5000 + "]" * 5000 + "}]", "NESTED_TOO_DEEPLY", 1),
        ("[]", "EMPTY_FILE", None),
    ],
)  # fmt: skip
def test_arrays_that_are_wrong(check: Any, data: str, reason: str, line: int | None) -> None:
    report, _, _ = check(data, max_line_bytes=200 if "aaa" in data else 1 << 20)
    assert (report.valid, report.findings[0].reason) == (False, reason)
    assert line is None or report.findings[0].examples[0].line == line


@pytest.mark.parametrize(
    "broken",
    [
        '{"text":b}',
        '{"text":"b",,"n":[1,"}]"]}',
        '{"text":"b"',
        '{"text":"b}',
        '{"text":"b\n c"}',
        '{"text":"b]}',
        '{"text":["b"}',
        "oops",
        '{"n":' + "[" * 5000 + "]" * 5000 + "}",
        "",
    ],
    ids=short,
)
@pytest.mark.parametrize("size", [7, 1 << 20])
def test_a_broken_element_is_set_aside(
    check: Any, broken: str, size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("services.data_service.validation.sources.json_array._READ_BYTES", size)
    data = '[\n  {"text":"あ"},\n  ' + broken + ',\n  {"text":"い"},\n  {"text":"う"}\n]'
    report, rows, asides = check(data, bad_rows=BadRows.SET_ASIDE)
    assert (report.valid, [row["text"] for row in rows]) == (True, ["あ", "い", "う"])
    ((aside),) = asides
    assert (aside["line"], aside["text"]) == (3, broken)
    assert all(len(example.excerpt) <= max(len(broken) + 3, 1) for f in report.findings for example in f.examples)
    lines = pq.read_table(tmp_path / "output" / "rows.parquet")["line"].to_pylist()
    assert lines == [2, 4 + broken.count("\n"), 5 + broken.count("\n")]


def test_a_broken_element_of_a_large_array_is_no_long_line(check: Any) -> None:
    rows = [json.dumps({"text": "あ" * 500}) for _ in range(1000)]
    report, _, asides = check("[" + ",\n".join([*rows, '{"text":}', *rows]) + "]", bad_rows=BadRows.SET_ASIDE)
    assert (report.valid_rows, [aside["line"] for aside in asides]) == (2000, [1001])


def test_nested_and_null_columns_of_parquet(check: Any) -> None:
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    schema = pa.schema(
        [("messages", turns), ("nothing", pa.null()), ("price", pa.decimal128(5, 2)), ("n", pa.float64())]
    )
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    row = {"messages": messages, "nothing": None, "price": Decimal("1.50"), "n": float("nan")}
    report, rows, _ = check(parquet([row, {"messages": None}], schema), bad_rows=BadRows.SET_ASIDE)
    assert rows == [{"messages": messages, "nothing": None, "price": "1.50", "n": None}]
    assert reasons(report) == ["WRONG_TYPE"]


def test_parquet_that_cannot_be_read(check: Any) -> None:
    data = parquet([{"text": "a", "image": b"\0\1"}])
    report, _, _ = check(data)
    assert (reasons(report), report.findings[0].examples[0].field) == (["BINARY_COLUMN"], "image")
    assert check(data, columns={"text": "text"})[1] == [{"text": "a"}]
    assert reasons(check(data[:-20])[0]) == ["PARQUET_UNREADABLE"]


def test_a_downloaded_version_can_be_uploaded_again(check: Any, tmp_path: Path) -> None:
    check(JSONL)
    data = (tmp_path / "output" / "rows.parquet").read_bytes()
    assert check(data)[1] == PAIRS


@pytest.mark.parametrize(
    "data", ["質問,回答,他\nq,a,x\n", '{"質問":"q","回答":"a","他":[1]}', '[{"質問":"q","回答":"a"}]']
)
def test_columns_are_mapped(check: Any, data: str) -> None:
    report, rows, _ = check(data, columns={"instruction": "質問", "response": "回答"})
    assert (rows, report.template.form) == ([{"instruction": "q", "response": "a"}], RowForm.INSTRUCTION)
    report, _, _ = check(data, columns={"instruction": "問い", "response": "回答"}, format=report.format)
    assert (reasons(report), report.findings[0].examples[0].field) == (["MISSING_COLUMN"], "問い")


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("columns", [{}, {"prompt": "p", "chosen": "c", "rejected": "r"}])
def test_turns_in_cells_are_read_from_their_json(check: Any, kind: str, columns: dict[str, str]) -> None:
    turns = [{"role": "user", "content": '"問"\n[1]'}]
    row = {"prompt": turns, "chosen": '[{"a": 1}]', "rejected": [{"role": "assistant", "content": "答"}]}
    cells = {columns.get(name, name): v if isinstance(v, str) else json.dumps(v, indent=1) for name, v in row.items()}
    table = io.StringIO()
    writer = csv.DictWriter(table, list(cells), delimiter="\t" if kind == "tsv" else ",")
    writer.writeheader()
    writer.writerow(cells)
    data = parquet([cells]) if kind == "parquet" else table.getvalue()
    report, rows, _ = check(data, columns=columns)
    assert (report.valid, rows) == (True, [row])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("[{'role': 'user', 'content': 'a'}]", "WRONG_TYPE"),
        ('[{"role":"user","content":"\\ud800"}]', "WRONG_TYPE"),
        ('[{"role":"user","content":"a","content":"b"},{"role":"assistant","content":"c"}]', "DUPLICATE_FIELD"),
        ("[" * 500 + "]" * 500, "WRONG_TYPE"),
        ('[{"role":"user","content":1}]', "WRONG_TYPE"),
        ("[]", "EMPTY_FIELD"),
    ],
)
def test_cells_that_are_no_turns_are_told_of(check: Any, cell: str, reason: str) -> None:
    (finding,) = (each for each in check(parquet([{"messages": cell}]))[0].findings if each.reason != "TOO_FEW_ROWS")
    assert finding.reason == reason


def test_a_chosen_format_is_taken(check: Any) -> None:
    report, rows, _ = check("text\nあ\n", format=FileFormat.CSV)
    assert (rows, report.format_evidence_en) == ([{"text": "あ"}], "chosen by the user")
    assert check('{"text":"a"}', format=FileFormat.TEXT)[1] == [{"text": '{"text":"a"}'}]
    assert reasons(check("あ", format=FileFormat.PARQUET)[0]) == ["PARQUET_UNREADABLE"]


def test_bad_rows_are_set_aside_with_all_of_their_text(check: Any) -> None:
    data = b'{"text":"a"}\n{"text":1}\n\xff\xfe\xfd\n{\n"text":"c"}\n{"text":"\\ud800"}\n{"text":"b"}\n'
    report, rows, asides = check(data, bad_rows=BadRows.SET_ASIDE)
    assert (report.valid, report.rows, report.valid_rows, report.set_aside_rows) == (True, 6, 2, 4)
    assert rows == [{"text": "a"}, {"text": "b"}]
    assert [(aside["line"], aside["reasons"], aside["text"]) for aside in asides] == [
        (2, ["WRONG_TYPE"], '{"text":1}'),
        (3, ["NOT_UTF8"], "\\xff\\xfe\\xfd"),
        (4, ["NOT_ONE_OBJECT_PER_LINE"], '{\n"text":"c"}'),
        (6, ["LONE_SURROGATE"], '{"text":"\\ud800"}'),
    ]
    assert all(aside["message"]["en"] and aside["message"]["ja"] for aside in asides)
    assert not check(data)[0].valid
    report, rows, _ = check('{"text":1}', bad_rows=BadRows.SET_ASIDE)
    assert (report.valid, report.findings[0].reason, rows) == (False, "NO_GOOD_ROWS", [])


def test_folders_are_read_in_the_order_of_names(check: Any, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "more").mkdir(parents=True)
    (folder / "b.csv").write_text("text,n\nb,1\n")
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text":"a"}\n{"text":"a2"}\n'))
    (folder / "more" / "c.jsonl").write_text('{"text":"c"}\n{"text":"a"}\n{"text":3}\n')
    (folder / ".hidden").write_text("x")
    (folder / "d.link").symlink_to("/etc/hostname")
    report, rows, _ = check(folder, bad_rows=BadRows.SET_ASIDE)
    assert [row["text"] for row in rows] == ["a", "a2", "b", "c", "a"]
    found = {finding.reason: finding.examples[0] for finding in report.findings if finding.examples}
    assert found["WRONG_TYPE"].excerpt == "more/c.jsonl: 3"
    assert (found["DUPLICATE_ROWS"].excerpt, found["DUPLICATE_ROWS"].line) == ("more/c.jsonl", 2)


def test_shares_of_scripts_and_languages(check: Any) -> None:
    texts = ["ひらカタ漢字", "汉字", "abc 123", "Привет", "。！"]
    told = check("\n".join(json.dumps({"text": text}) for text in texts))[0].statistics
    shares = {name: round(share * 20) for name, share in told.script_shares.items()}
    assert shares == {"hiragana": 2, "katakana": 2, "han": 4, "latin": 3, "digit": 3, "other": 6}
    assert told.language_shares == {"ja": 0.2, "zh": 0.2, "en": 0.2, "other": 0.4}
