"""The quick look and the long look at rows agree, and blocks of any size give the same result."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.data_service.domain import BadRows, ReadOptions, RowForm, ToolTurns, TrainOn
from services.data_service.report import Report
from services.data_service.validation import block_check, blocks, opening, validator
from services.data_service.validation.alike_lines import AlikeReader
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.row_checks import canonical
from services.data_service.validation.rules import FieldCount, decide
from services.data_service.validation.validator import validate
from services.text.rows import parse, unused_fields

TEXTS = st.sampled_from(
    ["質問: 首都は？\n回答: 東京。", "質問：a\n\n回答：b", "質問: \n回答: x", "質問: x\n回答: \n", "ただの文", "", "  \u3000",
     "a\u0007b", "\ufffd", "\u2028 \u0085", "\x00", "😀𠮷", "abc 123", "漢字", "\\frac{1}{2}", "\x7f"]
) | st.text(max_size=8)  # fmt: skip
OTHER = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "human", "gpt", "bot"])
TURN = st.builds(lambda role, content: {"role": role, "content": content}, ROLES, TEXTS | OTHER)
SAID = st.builds(lambda role, content: {"from": role, "value": content}, ROLES, TEXTS | OTHER)
GOOD = st.builds(lambda a, b: [{"role": "user", "content": a}, {"role": "assistant", "content": b}], TEXTS, TEXTS)
ROWS = (
    st.fixed_dictionaries({"text": TEXTS | OTHER}, optional={"id": OTHER, "質問\u0007": TEXTS})
    | st.fixed_dictionaries({"instruction": TEXTS, "output": TEXTS | OTHER}, optional={"input": TEXTS | OTHER, "response": TEXTS, "history": OTHER})
    | st.fixed_dictionaries({"prompt": TEXTS, "completion": TEXTS | OTHER}, optional={"label": OTHER})
    | st.fixed_dictionaries({"prompt": TEXTS | GOOD, "chosen": TEXTS | GOOD, "rejected": TEXTS | GOOD})
    | st.fixed_dictionaries({"messages": st.lists(TURN | OTHER, max_size=4) | GOOD | OTHER})
    | st.fixed_dictionaries({"conversations": st.lists(SAID, max_size=4) | GOOD}, optional={"system": TEXTS})
    | st.dictionaries(TEXTS, OTHER, max_size=3)
)  # fmt: skip
DUMPED = st.builds(
    lambda row, ascii_, indent: json.dumps(row, ensure_ascii=ascii_, indent=indent).encode("utf-8", "surrogatepass"),
    ROWS,
    st.booleans(),
    st.sampled_from([None] * 8 + [1]),
)
LINES = DUMPED | st.sampled_from(
    [b"", b" ", b"\r", b"[", b'{"text":', b'{"text":"a"}{"text":"b"}', b'[{"text":"a"}]', b"null", b'"\\ud800"',
     b'{"text":"\\ud800"}', b'{"text":"a","n":NaN}', b'{"text":"a","n":1e999}', b"\xff\xfe\xfd", b'{"text":"\xc0\xaf"}',
     b'{"text":"a","n":' + b"[" * 300 + b"]" * 300 + b"}", b'{"text":"' + b"a" * 300 + b'"}', b'{"text":"a","text":"b"}',
     b'{"text":"a","text":"\\u0022\\u0022\\u0022\\u0022"}', b'{"text":"a","id":1,"id":{"x":2,"x":3}}',
     '{"text":"あ"}'.encode("cp932")]
) | st.binary(max_size=12)  # fmt: skip
BARE = st.builds(
    lambda text, compact, ascii_: json.dumps({"text": text}, ensure_ascii=ascii_, separators=(",", ":") if compact else None).encode(),
    TEXTS,
    st.booleans(),
    st.sampled_from([False] * 3 + [True]),
)  # fmt: skip
TWISTED = st.sampled_from(
    [b'{"text": "a"},{"text": "b"}', b'{"text": "a","text":[{"b":"c"}', b'{"text": "q"}],"text":"z"}', b'{"text": "a" }',
     b'{"text": "x\\"}', b'{"text": ":"y"}', b'{"text": "\\\\"}', b'{"text": "a\\/"}', b'{"text": "a\tb"}', b'{"text": "b", "text": "c"}',
     b'{"text": "\xc2\x85"}', b'{"text": "\xff"}', b'{"text": "a\\n\\t\\r\\""}', b'{"text": 1, "a": "b"}', b'{"text": "a"}\r']
)  # fmt: skip
KINDS = [
    st.builds(lambda row, compact: json.dumps(row, ensure_ascii=False, separators=(",", ":") if compact else None).encode(), rows, st.booleans())
    for rows in (
        st.fixed_dictionaries({"text": TEXTS}),
        st.builds(lambda a, b: {"text": f"質問: {a}\n回答: {b}"}, TEXTS, TEXTS),
        st.fixed_dictionaries({"instruction": TEXTS, "output": TEXTS}, optional={"input": TEXTS}),
        st.fixed_dictionaries({"instruction": TEXTS, "output": TEXTS}, optional={"system": TEXTS, "history": st.lists(TEXTS, max_size=1)}),
        st.fixed_dictionaries({"prompt": TEXTS, "completion": TEXTS}, optional={"id": TEXTS, "a": st.integers(0, 2)}),
        st.fixed_dictionaries({"prompt": TEXTS, "chosen": TEXTS, "rejected": TEXTS}),
        st.builds(lambda turns: {"messages": turns}, GOOD),
    )
]  # fmt: skip
FILES = st.builds(
    lambda lines, end, last: end.join(lines) + last,
    st.lists(LINES, max_size=12) | st.lists(DUMPED, max_size=40) | st.lists(BARE, max_size=6) | st.lists(BARE | TWISTED, max_size=6)
    | st.sampled_from(KINDS).flatmap(lambda kind: st.lists(kind, max_size=8)),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n"]),
)  # fmt: skip
REQUESTS = st.fixed_dictionaries(
    {
        "form": st.sampled_from([RowForm.DETECT] * 8 + list(RowForm)),
        "train_on": st.sampled_from(TrainOn),
        "read": st.builds(
            ReadOptions,
            columns=st.sampled_from([{}, {}, {}, {"text": "text"}, {"prompt": "instruction", "completion": "output"}]),
            bad_rows=st.sampled_from(BadRows),
            tool_turns=st.sampled_from(ToolTurns),
        ),
    }
)


def outcome(
    data: bytes, request: dict[str, Any], *, max_line_bytes: int = 200, **options: Any
) -> tuple[Report, dict[str, bytes]]:
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name) / "input.jsonl", Path(name) / "output"
        source.write_bytes(data)
        output.mkdir()
        asked = ValidationRequest(
            input_file=str(source),
            output_dir=str(output),
            filename="input.jsonl",
            max_line_bytes=max_line_bytes,
            **request,
        )
        report = validate(asked, lambda progress: None, **options)
        return report, {path.name: path.read_bytes() for path in sorted(output.iterdir())}


@settings(max_examples=150, deadline=None)
@given(FILES, REQUESTS, st.booleans())
def test_the_quick_look_agrees_with_the_long_one(data: bytes, request: dict[str, Any], at_once: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_check, "_ENOUGH_BYTES", 0 if at_once else 1 << 20)
        assert outcome(data, request) == outcome(data, request, quick=False)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(KINDS).flatmap(lambda kind: st.lists(kind, min_size=1, max_size=6)), st.lists(TWISTED, max_size=1)
)
def test_lines_are_read_at_once_only_where_they_are_alike(alike: list[bytes], twisted: list[bytes]) -> None:
    lines = alike + twisted
    rules = decide(ValidationRequest(input_file="", output_dir=""), [json.loads(line) for line in alike])
    found = AlikeReader(rules).read(b"\n".join(lines))
    if found is not None and rules.form is not None:
        rows = [json.loads(line) for line in lines]
        contents = [parse(row, rules.form, rules.markers).contents for row in rows]
        assert found.written == [blocks.plain_value(canonical(row)) for row in rows]
        assert found.lengths.tolist() == [sum(map(len, texts)) for texts in contents]
        assert found.starts.tolist() == [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines))]
        unused, expected = FieldCount(), FieldCount()
        for names, count in found.unused:
            unused.add(names, count)
        for row in rows:
            expected.add(unused_fields(row, rules.form))
        assert unused == expected
        picked = found.texts(np.ones(len(rows), np.bool_))
        joined = ["".join(texts).replace("\n\n", "") for texts in contents]
        assert sorted("".join(texts).replace("\n\n", "") for texts in picked) == sorted(joined)


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": 'あ\n"い"'}, {"text": "う\\"}],
        [{"text": "質問: \\n回答: a\n回答: b"}, {"text": "質問: a\n回答: b\n回答: c"}],
        [{"instruction": "a", "input": "", "output": "b"}, {"instruction": "a", "input": "𠮷", "output": "b\r\n"}],
        [
            {"prompt": "a", "completion": "b", "label": True, "id": "x"},
            {"prompt": "a", "completion": "b", "label": False},
        ],
        [{"prompt": "a", "rejected": "c", "chosen": "b"}],
        [
            {"messages": [{"role": "user", "content": "a"}, {"content": "b", "role": "assistant"}] * n}
            for n in (1, 3, 2)
        ],
        [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}],
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_every_form_are_read_at_once(rows: list[dict[str, Any]], end: str) -> None:
    rules = decide(ValidationRequest(input_file="", output_dir=""), rows)
    block = "".join(json.dumps(row, ensure_ascii=False) + end for row in rows)
    found = AlikeReader(rules).read(block.encode())
    assert found is not None
    assert found.written == [blocks.plain_value(canonical(row)) for row in rows]
    assert rules.form is not None
    assert found.lengths.tolist() == [sum(map(len, parse(row, rules.form, rules.markers).contents)) for row in rows]


@settings(max_examples=60, deadline=None)
@given(FILES, REQUESTS, st.integers(1, 300))
def test_blocks_of_any_size_agree(data: bytes, request: dict[str, Any], size: int) -> None:
    whole = outcome(data, request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "spans", lambda path, limit: blocks.spans(path, limit, size))
        patch.setattr(block_check, "_ENOUGH_BYTES", 0)
        small = outcome(data, request)
    assert small == whole


def test_columns_that_are_not_read_may_be_nested_deeply_and_have_no_field_twice() -> None:
    deep = '{"text":"a","n":' + "[" * 300 + "]" * 300 + "}"
    twice = '{"text":"b","n":1,"n":"2"}'
    request = {"read": ReadOptions(columns={"text": "text"}, bad_rows=BadRows.SET_ASIDE)}
    report, _ = outcome("\n".join([deep, twice, deep]).encode(), request, max_line_bytes=1000)
    assert (report.valid_rows, report.set_aside_rows) == (2, 1)
    assert "DUPLICATE_FIELD" in [finding.reason for finding in report.findings]


def test_texts_of_no_column_are_not_written() -> None:
    columns = {"prompt": "q", "completion": "a"}
    rows = [{"q": f"問{number}", "more": "あ" * number, "a": f"答{number}"} for number in range(1, 4)]
    rules = decide(ValidationRequest(input_file="", output_dir="", read=ReadOptions(columns=columns)), rows)
    found = AlikeReader(rules).read("\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    assert found is not None
    expected = [{"prompt": row["q"], "completion": row["a"]} for row in rows]
    assert found.written == [blocks.plain_value(canonical(row)) for row in expected]


def test_processes_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validator, "LARGE_BYTES", 1)
    rows = [json.dumps({"text": f"質問: 問{n}\n回答: 答{n % 900}"}, ensure_ascii=False) for n in range(20_000)]
    rows[777] = '{"text": 1}'
    rows[9_000:9_000] = json.dumps({"text": "あ" * 1000, "more": list(range(50))}, indent=0).split("\n")
    data = "\n".join(rows).encode()
    request = {"read": ReadOptions(bad_rows=BadRows.SET_ASIDE)}
    alone = outcome(data, request, crew_size=0)
    monkeypatch.setattr(opening, "spans", lambda path, limit: blocks.spans(path, limit, 20_000))
    assert outcome(data, request, crew_size=2)[0] == alone[0]
    assert alone[0].set_aside_rows >= 2
