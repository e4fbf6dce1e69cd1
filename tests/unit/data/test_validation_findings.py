"""What validation says of files: every reason with its place, and what passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.data_service.child import Progress
from services.data_service.domain import FileFormat, RowForm, TrainOn
from services.data_service.report import Report, Severity
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.validator import validate

USER = {"role": "user", "content": "x"}
ASSISTANT = {"role": "assistant", "content": "y"}
TURNS = {"messages": [USER, ASSISTANT]}


def row(number: int) -> str:
    return json.dumps({"text": f"質問: 問{number}\n回答: 答{number}"}, ensure_ascii=False)


ROWS = "\n".join(row(number) for number in range(3))


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """`check(data, **options)`: the report of a file."""

    def run(data: str | bytes, **options: Any) -> Report:
        source, output = tmp_path / "input", tmp_path / "output"
        source.write_bytes(data if isinstance(data, bytes) else data.encode())
        output.mkdir(exist_ok=True)
        request = ValidationRequest(input_file=str(source), output_dir=str(output), **options)
        report = validate(ValidationRequest.from_json(request.to_json()), lambda progress: None)
        assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report
        return report

    return run


# data, reason, (line, column, byte offset, field) of the first place, how many
ERRORS: dict[str, tuple[str | bytes, str, tuple[int, int, int, str] | None, int]] = {
    "nothing": ("", "EMPTY_FILE", None, 1),
    "blank lines": ("\n\r\n \t\n", "EMPTY_FILE", None, 1),
    "BOM alone": (b"\xef\xbb\xbf", "EMPTY_FILE", None, 1),
    "unescaped quote": (ROWS.replace("問2", '問"2'), "INVALID_JSON", (3, 17, 100, ""), 1),
    "cut record": ('{"text":"a"}\n{"text":"b\n{"text":"c"}', "INVALID_JSON", (2, 9, 21, ""), 1),
    "cut list": ('{"text":"a"}\n{"messages":[\n{"text":"c"}\n{"text":"d"}', "INVALID_JSON", (2, 13, 25, ""), 1),
    "single quotes": ("{'text':'a'}", "INVALID_JSON", (1, 2, 1, ""), 1),
    "raw NUL": (ROWS.replace("問1", "問\0"), "INVALID_JSON", (2, 16, 60, ""), 1),
    "many NUL": ('{"text":"a\0\0"}', "NOT_TEXT", (1, 1, 0, ""), 1),
    "huge integer": ('{"text":"a","n":' + "9" * 5000 + "}", "INVALID_JSON", (1, 0, 0, ""), 1),
    "pretty": (
        json.dumps(TURNS, indent=1) + "\n" + json.dumps(TURNS, indent=1),
        "NOT_ONE_OBJECT_PER_LINE",
        (1, 0, 0, ""),
        2,
    ),
    "pretty, joined": (json.dumps(TURNS, indent=1) * 3, "NOT_ONE_OBJECT_PER_LINE", (1, 0, 0, ""), 1),
    "arrays on lines": ('{"text":"a"}\n[{"text":"b"},{"text":"c"}]', "NOT_ONE_OBJECT_PER_LINE", (2, 0, 13, ""), 1),
    "two on a line": ('{"text":"a"}{"text":"b"}', "NOT_ONE_OBJECT_PER_LINE", (1, 13, 12, ""), 1),
    "lone CR": (ROWS.replace("\n", "\r"), "NOT_ONE_OBJECT_PER_LINE", (1, 28, 39, ""), 1),
    "scalars": ('{"text":"a"}\n3\n"x"\nnull\ntrue', "NOT_AN_OBJECT", (2, 0, 13, ""), 4),
    "Shift_JIS": (ROWS.encode("cp932"), "NOT_UTF8", (1, 11, 10, ""), 3),
    "EUC-JP": (ROWS.encode("euc_jp"), "NOT_UTF8", (1, 11, 10, ""), 3),
    "broken UTF-8": (b'{"text":"a"}\n{"text":"\xff\xfe\xfd"}', "NOT_UTF8", (2, 10, 22, ""), 1),
    "overlong UTF-8": (b'{"text":"\xc0\xaf"}', "NOT_UTF8", (1, 10, 9, ""), 1),
    "xlsx": (b"PK\x03\x04" + bytes(60) + b"xl/workbook.xml", "NOT_TEXT", (1, 1, 0, ""), 1),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "NOT_TEXT", (1, 1, 0, ""), 1),
    "field twice": ('{"text":"a"}\n{"text":"b","text":"c"}', "DUPLICATE_FIELD", (2, 0, 13, "text"), 1),
    "field of a turn twice": (
        json.dumps(TURNS).replace('"role": "user"', '"role": "user", "role": "user"'),
        "DUPLICATE_FIELD",
        (1, 0, 0, "role"),
        1,
    ),
    "NaN": ('{"text":"a","x":NaN}', "NON_FINITE_NUMBER", (1, 17, 16, ""), 1),
    "1e999": ('{"text":"a","x":-1e999}', "NON_FINITE_NUMBER", (1, 17, 16, ""), 1),
    "deep": ('{"text":' + "[" * 100_000 + "]" * 100_000 + "}", "NESTED_TOO_DEEPLY", (1, 0, 0, ""), 1),
    "half a surrogate pair": ('{"text":"a"}\n{"text":"a\\ud800b"}', "LONE_SURROGATE", (2, 0, 13, "text"), 1),
    "half a pair in a name": ('{"text":"a","\\udfff":1}', "LONE_SURROGATE", (1, 0, 0, "\\udfff"), 1),
    "NUL": ('{"text":"a\\u0000"}', "INVALID_CHARACTERS", (1, 0, 0, "text"), 1),
    "missing response": (
        '{"instruction":"a","response":"b"}\n{"instruction":"c"}',
        "MISSING_FIELD",
        (2, 0, 35, "response"),
        1,
    ),
    "missing everywhere": ('{"instruction":"a"}\n{"instruction":"b"}', "MISSING_FIELD", (1, 0, 0, "response"), 2),
    "unknown fields": ('{"a":1}', "UNKNOWN_FORM", (1, 0, 0, ""), 1),
    "fields of another form": ('{"text":"a"}\n{"a":1}', "MISSING_FIELD", (2, 0, 13, "text"), 1),
    "wrong type": ('{"text":"a"}\n{"text":3}', "WRONG_TYPE", (2, 0, 13, "text"), 1),
    "white space": ('{"text":"a"}\n{"text":" \\n　"}', "EMPTY_FIELD", (2, 0, 13, "text"), 1),
    "no answer": (ROWS + '\n{"text":"質問: 問\\n回答: "}', "EMPTY_FIELD", (4, 0, 117, "text"), 1),
    "mixed": (ROWS + "\n" + json.dumps(TURNS), "MIXED_FORMS", (4, 0, 117, ""), 1),
    "assistant first": (
        '{"messages":[{"role":"assistant","content":"y"}]}',
        "WRONG_ROLE_ORDER",
        (1, 0, 0, "messages[0].role"),
        1,
    ),
    "unknown role": (
        json.dumps({"messages": [USER, {"role": "bot", "content": "y"}]}),
        "UNKNOWN_ROLE",
        (1, 0, 0, "messages[1].role"),
        1,
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_their_place_and_leave_no_rows(check: Any, case: str) -> None:
    data, reason, place, count = ERRORS[case]
    report = check(data)
    assert not report.valid
    finding = report.findings[0]
    assert (finding.reason, finding.severity) == (reason, Severity.ERROR)
    assert sum(each.count for each in report.findings if each.reason == reason) == count
    assert finding.en.isprintable()
    assert finding.ja.isprintable()
    if place is not None:
        first = finding.examples[0]
        assert (first.line, first.column, first.byte_offset, first.field) == place
        assert len(first.excerpt) <= 200
        assert first.excerpt.isprintable()
    for language in ("en", "ja"):
        assert reason in report.error().text(language)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (ROWS, 3),
        (ROWS + "\n", 3),
        (b"\xef\xbb\xbf" + ROWS.encode(), 3),
        (ROWS.replace("\n", "\r\n"), 3),
        (ROWS.replace("\n", "\n\n  \n"), 3),
        ('{"text":"a\u2028b\u0085c"}', 1),
        ('{"text":"\\ud83d\\ude00"}', 1),
        ('{"text":"a","extra":{"x":[1,2.5,null]}}', 1),
        (json.dumps(TURNS), 1),
        ("text,label\nあ,1\n", 1),
        (json.dumps([{"text": "a"}] * 3, indent=1), 3),
        ('[{"text":"a"},{"text":"b"}]', 2),
        (ROWS.encode("utf-16"), 3),
        ('{"instruction":"a","input":"","output":"b"}', 1),
    ],
)
def test_what_passes(check: Any, data: str | bytes, rows: int) -> None:
    report = check(data)
    assert (report.valid, report.rows, report.valid_rows) == (True, rows, rows)


def test_warnings_do_not_fail(check: Any) -> None:
    report = check(f'{ROWS}\n{row(1)}\n{row(1)}\n{{"text":"plain \\u0007 \ufffd"}}')
    found = {finding.reason: finding for finding in report.findings}
    assert report.valid
    assert all(finding.severity is Severity.WARNING for finding in report.findings)
    assert sorted(found) == [
        "CONTROL_CHARACTERS", "DUPLICATE_ROWS", "NO_MARKERS", "REPLACEMENT_CHARACTERS", "TOO_FEW_ROWS",
    ]  # fmt: skip
    assert (found["DUPLICATE_ROWS"].count, [e.line for e in found["DUPLICATE_ROWS"].examples]) == (2, [4, 5])
    assert report.statistics.duplicate_rows == 2
    assert "100" in found["TOO_FEW_ROWS"].en
    assert "1,000" in found["TOO_FEW_ROWS"].ja


def test_enough_rows_are_not_warned_of(check: Any) -> None:
    assert check("\n".join(row(number) for number in range(1000))).findings == []


def test_only_ten_examples_are_kept(check: Any) -> None:
    finding = check('{"text":1}\n' * 500).findings[0]
    assert (finding.count, [example.line for example in finding.examples]) == (500, list(range(1, 11)))


def test_errors_come_first(check: Any) -> None:
    report = check('{"text":"\\u0007"}\n' * 5 + '{"text":1}')
    assert [finding.severity for finding in report.findings][:2] == [Severity.ERROR, Severity.WARNING]


@pytest.mark.parametrize(("length", "too_long"), [(100, False), (101, True), (5_000_000, True)])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_long_lines(check: Any, length: int, too_long: bool, end: str) -> None:
    report = check('{"text":"' + "a" * (length - 11) + '"}' + end + ('{"text":"b"}' if end else ""), max_line_bytes=100)
    assert report.rows == 1 + bool(end)
    assert [finding.reason for finding in report.findings if finding.severity is Severity.ERROR] == (
        ["LINE_TOO_LONG"] if too_long else []
    )


def test_an_array_on_one_long_line_is_read(check: Any) -> None:
    report = check(json.dumps([{"text": "a"}] * 100), max_line_bytes=100)
    assert (report.format, report.valid, report.rows) == (FileFormat.JSON, True, 100)


def test_the_template_and_its_evidence(check: Any) -> None:
    template = check(ROWS).template
    assert (template.form, template.train_on) == (RowForm.TEXT, TrainOn.COMPLETION)
    assert (template.prompt_marker, template.completion_marker) == ("質問: ", "\n回答: ")
    assert (template.evidence_en, template.evidence_ja) == ("3 of 3 rows: 質問 / 回答", "3 行中 3 行: 質問 / 回答")
    assert check(ROWS, train_on=TrainOn.ALL).template.train_on is TrainOn.ALL
    plain = check('{"text":"ただの文章"}').template
    assert (plain.form, plain.train_on, plain.prompt_marker) == (RowForm.TEXT, TrainOn.ALL, "")
    assert check(json.dumps(TURNS)).template.form is RowForm.MESSAGES


def test_completions_alone_need_completions(check: Any) -> None:
    report = check('{"text":"ただの文章"}', train_on=TrainOn.COMPLETION)
    assert report.findings[0].reason == "NO_COMPLETION"


def test_a_chosen_form_is_taken(check: Any) -> None:
    both = '{"text":"a","instruction":"b","response":"c"}'
    assert check(both, form=RowForm.TEXT).template.form is RowForm.TEXT
    assert check(both, form=RowForm.INSTRUCTION).template.form is RowForm.INSTRUCTION
    assert check(both, form=RowForm.MESSAGES).findings[0].reason == "MISSING_FIELD"


def test_statistics(check: Any) -> None:
    report = check("\n".join(json.dumps({"text": "あ" * length}) for length in (3, 20, 20, 200)))
    told = report.statistics
    assert (told.rows, told.characters, told.min_characters, told.median_characters) == (4, 243, 3, 20)
    assert told.max_characters == 200
    buckets = dict(zip(told.histogram_bounds, told.histogram_counts, strict=True))
    assert {bound: count for bound, count in buckets.items() if count} == {16: 1, 32: 2, 256: 1}


def test_progress_is_told_at_the_end(tmp_path: Path) -> None:
    source = tmp_path / "input"
    source.write_text(ROWS)
    told: list[Progress] = []
    validate(ValidationRequest(input_file=str(source), output_dir=str(tmp_path)), told.append)
    assert told == [Progress(len(ROWS.encode()), 3)]
