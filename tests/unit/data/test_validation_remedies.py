"""What reports say of files of a new user: what was found there, true of every row that is counted, and what helps."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.data_service.domain import BadRows, FileFormat, ReadOptions, RowForm, TextEncoding, ToolTurns
from services.data_service.report import Finding, Report, Severity
from services.data_service.validation import block_check
from services.data_service.validation.findings import MAX_TEXTS
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.validator import validate

PAIRS = [{"質問": f"{n} は？", "回答": f"{n} です"} for n in range(3)]


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """`check(data, name, **options)`: the report of a file; options of reading."""

    def run(data: str | bytes, name: str = "", **options: Any) -> Report:
        source, output = tmp_path / "input", tmp_path / "output"
        source.write_bytes(data if isinstance(data, bytes) else data.encode())
        output.mkdir(exist_ok=True)
        read = ReadOptions(**options)
        request = ValidationRequest(input_file=str(source), output_dir=str(output), filename=name, read=read)
        return validate(request, lambda progress: None)

    return run


def only(report: Report) -> Finding:
    (finding,) = (each for each in report.findings if each.reason != "TOO_FEW_ROWS")
    return finding


def found(report: Report, reason: str) -> list[tuple[int, str]]:
    return [(finding.count, finding.en) for finding in report.findings if finding.reason == reason]


def test_columns_of_other_names_are_listed_with_the_mapping_that_reads_them(check: Any) -> None:
    table = "質問,回答\n" + "".join(f"{row['質問']},{row['回答']}\n" for row in PAIRS)
    finding = only(check(table, "faq.csv"))
    assert (finding.reason, finding.count) == ("UNKNOWN_FORM", 3)
    for text in (finding.en, finding.ja):
        assert "質問, 回答" in text
        assert "--column 'instruction=質問' --column 'response=回答'" in text
    mapped = check(table, "faq.csv", columns={"instruction": "質問", "response": "回答"})
    assert (mapped.valid, mapped.valid_rows) == (True, 3)


def test_a_field_that_is_missing_is_looked_for_among_those_that_are_there(check: Any) -> None:
    finding = only(check('{"instruction":"a","response":"b"}\n{"instruction":"c","回答":"d"}'))
    assert finding.reason == "MISSING_FIELD"
    assert "fields are: instruction, 回答" in finding.en
    assert "--column instruction=instruction --column 'response=回答'" in finding.ja


@pytest.mark.parametrize("options", [{}, {"format": FileFormat.CSV}])
def test_semicolons_are_read_and_told_of(check: Any, options: dict[str, Any]) -> None:
    report = check("instruction;response\na, b;c\n", "table.csv", **options)
    assert (report.valid, report.valid_rows, report.format) == (True, 1, FileFormat.CSV)
    assert "semicolons" in report.format_evidence_en
    assert "セミコロン" in report.format_evidence_ja


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("rows", [PAIRS, PAIRS * 100], ids=["few", "many"])
def test_the_key_of_wrapped_rows_is_named(check: Any, rows: list[Any], indent: int | None) -> None:
    finding = only(check(json.dumps({"version": "1.0", "data": rows}, ensure_ascii=False, indent=indent)))
    assert finding.reason == "NOT_ONE_OBJECT_PER_LINE"
    assert """jq -c '."data"[]'""" in finding.en
    assert "「data」" in finding.ja


def test_turns_under_another_name_are_no_wrapped_rows(check: Any) -> None:
    finding = only(check('{"dialogue":[{"role":"user","content":"a"}]}'))
    assert (finding.reason, "text=dialogue" in finding.en) == ("UNKNOWN_FORM", True)


def test_every_row_is_counted_where_its_own_field_is_named(check: Any) -> None:
    rows = [
        '{"instruction":"a","response":"b"}',
        '{"instruction":"a"}',
        '{"response":"b"}',
        '{"instruction":"c"}',
        "{}",
    ]
    report = check("\n".join(rows))
    missing = found(report, "MISSING_FIELD")
    assert [count for count, _ in missing] == [2, 1, 1]
    assert missing[0][1].startswith("response is missing. ")
    assert missing[1][1].startswith("instruction is missing. ")
    assert missing[2][1].startswith("instruction is missing. response is missing. ")
    assert report.rows - report.valid_rows == sum(count for count, _ in missing)


def test_rows_that_differ_in_the_turn_alone_are_told_of_together(check: Any, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [turns[:1], turns + turns[:1], turns[1:], [*turns, {"role": "user", "content": ""}], [], 3]
    report = check("\n".join(json.dumps({"messages": row}) for row in rows), bad_rows=BadRows.SET_ASIDE)
    order = found(report, "WRONG_ROLE_ORDER")
    assert [count for count, _ in order] == [2, 1]
    assert order[0][1].startswith("messages[…].role must be assistant, not nothing")
    assert sorted(found(report, "EMPTY_FIELD"))[1][1].startswith("messages[…].content is empty")
    assert sorted(found(report, "EMPTY_FIELD"))[0][1].startswith("messages is empty")
    assert found(report, "WRONG_TYPE")[0][1].startswith("messages must be a list of messages")
    assert [each.examples[1].field for each in report.findings if len(each.examples) > 1] == ["messages[3].role"]


def test_turns_of_tools_are_told_with_the_option_that_keeps_them(check: Any) -> None:
    user, tool, assistant = ({"role": role, "content": "a"} for role in ("user", "tool", "assistant"))
    kept = json.dumps({"messages": [user, assistant, tool, assistant]})
    finding = only(check(kept))
    assert finding.reason == "TOOL_TURN"
    assert "read.tool_turns KEEP (--tool-turns keep)" in finding.en
    assert "read.tool_turns KEEP（--tool-turns keep）" in finding.ja
    assert check(kept, tool_turns=ToolTurns.KEEP).valid
    finding = only(check(json.dumps({"messages": [user, tool, assistant]}), tool_turns=ToolTurns.KEEP))
    assert finding.reason == "WRONG_ROLE_ORDER"
    assert "a tool speaks only after the assistant" in finding.en
    assert "別の tool の直後" in finding.ja


@pytest.mark.parametrize(
    ("data", "en", "ja"),
    [
        (r'{"text":"a\u0000x"}', r"text holds NUL (\u0000), which no text has; remove it.", "取り除いてください"),
        (r'{"text":"a\ud800"}', r"half of a surrogate pair (\ud800 to \udfff), which", r"（\ud800〜\udfff）だけ"),
        (b'{"text":"\xc0\xaf"}', "nor of any encoding that we know", "既知の文字コードでもありません"),
    ],
)
def test_characters_that_are_wrong_are_called_what_they_are(check: Any, data: str | bytes, en: str, ja: str) -> None:
    (finding,) = (each for each in check(data).findings if each.severity is Severity.ERROR)
    assert en in finding.en
    assert ja in finding.ja


def test_texts_of_one_reason_are_bounded_and_all_rows_counted(check: Any) -> None:
    report = check("\n".join(json.dumps({"messages": [{"role": f"r{n}", "content": "a"}]}) for n in range(50)))
    roles = found(report, "UNKNOWN_ROLE")
    assert len(roles) == MAX_TEXTS + 1
    assert sum(count for count, _ in roles) == 50
    (others,) = (finding for finding in report.findings if finding.count == 50 - MAX_TEXTS)
    assert [example.line for example in others.examples] == list(range(MAX_TEXTS + 1, MAX_TEXTS + 11))


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7", b"PK\x03\x04" + bytes(60), random.Random(1).randbytes(3000), b"", b" \n"]
)
def test_nothing_is_told_of_a_file_that_cannot_be_read(check: Any, data: bytes) -> None:
    report = check(data, "data.jsonl")
    assert (report.format, report.encoding, report.format_evidence_en) == (FileFormat.DETECT, "", "")
    assert (report.template.form, report.template.evidence_en) == (RowForm.DETECT, "")


LINE = '{"text":"質問: あ\\n回答: い"}\n'


@pytest.mark.parametrize("bad_rows", BadRows)
@pytest.mark.parametrize(("codec", "flag"), [("cp932", "cp932"), ("euc_jp", "euc-jp")])
def test_a_file_of_another_encoding_is_not_called_utf8(check: Any, codec: str, flag: str, bad_rows: BadRows) -> None:
    report = check((LINE * 3).encode(codec), "data.jsonl", bad_rows=bad_rows)
    (finding,) = (each for each in report.findings if each.reason == "NOT_UTF8")
    assert (report.format, report.encoding, finding.count) == (FileFormat.JSONL, "", 3)
    for text in (finding.en, finding.ja):
        assert f"read.encoding {TextEncoding[codec.upper()]}" in text
        assert f"--encoding {flag}" in text


def test_one_line_of_another_encoding_leaves_the_file_utf8(check: Any) -> None:
    data = (LINE * 3).encode() + LINE.encode("cp932") + LINE.encode()
    report = check(data)
    (finding,) = (each for each in report.findings if each.reason == "NOT_UTF8")
    assert (report.encoding, finding.count, finding.examples[0].line) == ("UTF-8", 1, 4)
    assert "--encoding" not in finding.en
    assert "most of the file is" in finding.en
    assert "--bad-rows set-aside" in finding.ja
    assert check(data, bad_rows=BadRows.SET_ASIDE).set_aside_rows == 1


@pytest.mark.parametrize(
    ("name", "opening", "row", "encoding"),
    [
        ("data.csv", "text\n", "あ\n", "UTF-8"),
        ("data.json", "[", '{"text":"あ"},', ""),  # no row was read
        ("data.txt", "", "あ\n\n", "UTF-8"),
    ],
)
def test_files_that_are_read_as_one_say_where_they_stop_to_be_utf8(
    check: Any, name: str, opening: str, row: str, encoding: str
) -> None:
    report = check((opening + row * 3).encode() + row.encode("cp932"), name)
    finding = report.findings[0]
    assert (finding.reason, report.encoding) == ("NOT_UTF8", encoding)
    assert "--encoding" not in finding.en
    assert "though it is before" in finding.en
    assert "--encoding cp932" in check((opening + row).encode("cp932"), name).findings[0].en


def test_objects_on_other_lines_are_read_as_json(check: Any) -> None:
    data = "".join(json.dumps({"text": f"文{n}"}, indent=1) + "\n" * (n % 2) for n in range(5))
    for text in (check(data).findings[0].en, check(data).findings[0].ja):
        assert "--format json" in text
    report = check(data, format=FileFormat.JSON)
    assert (report.valid, report.valid_rows) == (True, 5)


@pytest.mark.parametrize(
    ("broken", "en", "ja"),
    [
        ('{"text":"a', "a string is not closed", "閉じられていません"),
        ('{"text":b}', "a value is missing", "値がない"),
        ('{"text":"a" "n":1}', "a comma or a closing bracket is missing", "カンマか"),
        ('{"text":"a",}', "a comma too many", "余分なカンマ"),
        ('{"text":"a\tb"}', "tab or control character", "制御文字"),
        ('{"text":"\\q"}', "a backslash is followed", "\\ の後"),
        ('{"text":"a","n":' + "9" * 5000 + "}", "too many digits", "桁数"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_json_is_said_in_both_languages(check: Any, broken: str, en: str, ja: str) -> None:
    finding = check('{"text":"x"}\n' + broken + "\n").findings[0]
    assert finding.reason == "INVALID_JSON"
    assert en in finding.en
    assert ja in finding.ja
    assert "--bad-rows set-aside" in finding.en


def test_a_parquet_file_that_cannot_be_read_says_why(check: Any) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([{"text": "a"}] * 10), sink)
    data = sink.getvalue().to_pybytes()
    for damaged, en, ja in (
        (data[:-20], "a part of it was lost", "途中で終わっています"),
        ("あ".encode(), "does not begin with PAR1", "先頭が PAR1 ではありません"),
        (data[:20] + b"\xff" * 60 + data[80:], "is damaged", "壊れている"),
    ):
        finding = only(check(damaged, format=FileFormat.PARQUET))
        assert (finding.reason, finding.examples) == ("PARQUET_UNREADABLE", [])
        assert en in finding.en
        assert ja in finding.ja


@pytest.mark.parametrize("quick", ["all at once", "row by row", "long look"])
def test_fields_that_the_form_leaves_out_are_told_with_their_rows(
    check: Any, quick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_check, "_ENOUGH_BYTES", 0 if quick == "all at once" else 1 << 20)
    note = "\u0007" if quick == "long look" else ""
    row = {"instruction": "a" + note, "input": "", "output": "b", "id": "x", "source": "wiki"}
    rows = [{**row, "system": "s", "history": []}] * 3 + [{**row, "system": "", "history": [["q", "a"]]}]
    rows += [{**row, "system": "s", "history": [["q", "a"]]}, {**row, "system": "", "history": []}]
    report = check("\n".join(map(json.dumps, rows)))
    (finding,) = (each for each in report.findings if each.reason == "UNUSED_FIELDS")
    assert (report.valid, finding.severity, finding.count) == (True, Severity.WARNING, 5)
    assert ": system (rows: 4), history (rows: 2). " in finding.en
    assert ": system（4 行）、history（2 行）。" in finding.ja


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"},
        {"prompt": "a", "completion": "b", "label": True, "id": "x"},
        {"text": "a", "label": 1, "system": None},
        {"instruction": "a", "input": "c", "response": "b", "output": ""},
    ],
)
def test_fields_that_are_used_or_mean_nothing_are_not_told(check: Any, row: dict[str, Any]) -> None:
    report = check(json.dumps(row))
    assert (report.valid, found(report, "UNUSED_FIELDS")) == (True, [])


def test_both_answers_of_a_row_are_told_of(check: Any) -> None:
    report = check('{"instruction":"a","response":"b","output":"c"}')
    assert ": output (rows: 1)" in found(report, "UNUSED_FIELDS")[0][1]
