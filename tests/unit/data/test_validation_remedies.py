"""What reports say of files of a new user: what was found there, true of every row that is counted, and what helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.data_service.domain import BadRows, FileFormat, ReadOptions
from services.data_service.report import Finding, Report
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


def test_texts_of_one_reason_are_bounded_and_all_rows_counted(check: Any) -> None:
    report = check("\n".join(json.dumps({"messages": [{"role": f"r{n}", "content": "a"}]}) for n in range(50)))
    roles = found(report, "UNKNOWN_ROLE")
    assert len(roles) == MAX_TEXTS + 1
    assert sum(count for count, _ in roles) == 50
    (others,) = (finding for finding in report.findings if finding.count == 50 - MAX_TEXTS)
    assert [example.line for example in others.examples] == list(range(MAX_TEXTS + 1, MAX_TEXTS + 11))
