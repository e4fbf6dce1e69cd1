"""Rows: what each form becomes, and what is said about rows that are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from services.text.detection import FormTally, detect_form
from services.text.markers import Markers, find_markers
from services.text.problems import ProblemError
from services.text.rows import Conversation, Form, Message, Pair, Plain, parse

QA = Markers("質問: ", "\n回答: ")


@pytest.mark.parametrize(
    ("text", "markers", "prompt", "completion"),
    [
        ("質問: 首都は？\n回答: 東京。", QA, "首都は？", "東京。"),
        ("質問：首都は？\n\n回答：東京。", Markers("質問：", "\n\n回答："), "首都は？", "東京。"),
        ("指示: 訳して\n応答: Yes", Markers("指示: ", "\n応答: "), "訳して", "Yes"),
        ("入力:a\n出力:\nb", Markers("入力:", "\n出力:\n"), "a", "b"),
        ("Q: 1+1?\nA: 2", Markers("Q: ", "\nA: "), "1+1?", "2"),
        (
            "### 指示:\n訳して\n\n### 応答:\nYes",
            Markers("### 指示:\n", "\n\n### 応答:\n"),
            "訳して",
            "Yes",
        ),
        (
            "以下は指示です。\n\n### 指示:\n訳して\n\n### 入力:\nはい\n\n### 応答:\nYes",
            Markers("以下は指示です。\n\n### 指示:\n", "\n\n### 応答:\n"),
            "訳して\n\n### 入力:\nはい",
            "Yes",
        ),
    ],
)
def test_known_markers_split_a_text(text: str, markers: Markers, prompt: str, completion: str) -> None:
    found = find_markers(text)
    assert found is not None
    assert (found.markers, found.prompt, found.completion) == (markers, prompt, completion)


def test_text_without_markers_is_learnt_whole() -> None:
    assert find_markers("ただの文章。質問: とは書いてあるが。") is None
    assert parse({"text": "ただの文章。"}, Form.TEXT, QA) == Plain("ただの文章。")


def test_rows_that_write_the_colon_otherwise_still_split() -> None:
    assert parse({"text": "質問：首都は？\n回答:東京。"}, Form.TEXT, QA) == Pair("首都は？", "東京。")


def test_a_sentence_before_another_heading_is_not_dropped() -> None:
    heading = Markers("### 指示:\n", "\n\n### 応答:\n")
    text = "前置き。\n### 指示:\n訳して\n\n### 応答:\nYes"
    assert parse({"text": text}, Form.TEXT, heading) == Plain(text)


def test_instruction_rows_take_input_and_either_name_of_the_answer() -> None:
    assert parse({"instruction": "訳して", "input": "はい", "output": "Yes"}, Form.INSTRUCTION) == Pair(
        "訳して\n\nはい", "Yes"
    )
    assert parse({"instruction": "訳して", "input": "", "response": "Yes"}, Form.INSTRUCTION) == Pair("訳して", "Yes")


def test_messages_become_a_conversation() -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    example = parse(row, Form.MESSAGES)
    assert example == Conversation((Message("user", "a"), Message("assistant", "b")))
    assert (example.prompt, example.completion) == ("user: a", "b")


@pytest.mark.parametrize(
    ("row", "form", "reason", "field"),
    [
        ([1], Form.TEXT, "NOT_AN_OBJECT", ""),
        ({"body": "a"}, Form.TEXT, "MISSING_FIELD", "text"),
        ({"text": 3}, Form.TEXT, "WRONG_TYPE", "text"),
        ({"text": " \n"}, Form.TEXT, "EMPTY_FIELD", "text"),
        ({"text": "a\ud800"}, Form.TEXT, "INVALID_CHARACTERS", "text"),
        ({"text": "質問: \n回答: 東京"}, Form.TEXT, "EMPTY_FIELD", "text"),
        ({"instruction": "a"}, Form.INSTRUCTION, "MISSING_FIELD", "response"),
        ({"instruction": "a", "output": ""}, Form.INSTRUCTION, "EMPTY_FIELD", "output"),
        ({"messages": []}, Form.MESSAGES, "EMPTY_FIELD", "messages"),
        ({"messages": [{"role": "human", "content": "a"}]}, Form.MESSAGES, "UNKNOWN_ROLE", "messages[0].role"),
        ({"messages": [{"role": "user"}]}, Form.MESSAGES, "MISSING_FIELD", "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a"}]}, Form.MESSAGES, "WRONG_ROLE_ORDER", "messages[1].role"),
        (
            {"messages": [{"role": "assistant", "content": "a"}]},
            Form.MESSAGES,
            "WRONG_ROLE_ORDER",
            "messages[0].role",
        ),
    ],
)
def test_a_wrong_row_names_field_and_reason(row: Any, form: Form, reason: str, field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(row, form, QA)
    problem = caught.value.problems[0]
    assert (problem.reason, problem.field) == (reason, field)
    assert problem.en
    assert problem.ja


def test_the_evidence_counts_rows() -> None:
    tally = FormTally()
    for text in ["質問: a\n回答: b"] * 3 + ["質問：a\n回答：b", "ただの文章"]:
        tally.add({"text": text})
    found = tally.detection()
    assert (found.form, found.markers) == (Form.TEXT, QA)
    assert found.evidence_en == "4 of 5 rows: 質問 / 回答"
    assert found.evidence_ja == "5 行中 4 行: 質問 / 回答"


def test_markers_of_a_few_rows_decide_nothing() -> None:
    tally = FormTally()
    for text in ["質問: a\n回答: b", "一", "二"]:
        tally.add({"text": text})
    assert tally.detection().markers is None


@pytest.mark.parametrize("row", [{"Text": "a"}, {"prompt": "a", "chosen": "b"}, "a", {}])
def test_an_unknown_form_is_refused(row: object) -> None:
    with pytest.raises(ProblemError, match="the row needs"):
        detect_form(row)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(ProblemError, match="did 'mesages' mean 'messages'"):
        detect_form({"mesages": []})
