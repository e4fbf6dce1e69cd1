"""How the demonstration scores answers."""

import pytest

from samples.demo_answers import Question, read_questions, score
from samples.demo_steps import HELD_OUT_DATA, HELD_OUT_ROWS

QUESTIONS = [Question("商品名は？", "【商品】茶でございます。"), Question("数量は？", "【数量】470個でございます。")]


def test_exact_and_right_value_are_told_apart() -> None:
    result = score(QUESTIONS, ["【商品】茶でございます。", "470個です。"])
    assert (result.exact, result.right_value) == (0.5, 1.0)
    result = score(QUESTIONS, ["【数量】茶", ""])
    assert (result.exact, result.right_value) == (0.0, 0.5)


def test_the_shipped_rows_can_be_asked_and_scored() -> None:
    questions = read_questions(HELD_OUT_DATA, HELD_OUT_ROWS)
    assert len(questions) == HELD_OUT_ROWS
    assert score(questions, [question.answer for question in questions]).exact == 1.0
    assert questions[0].as_text.startswith("質問: ")
    assert questions[0].as_text.endswith("\n回答: ")
    assert all(question.value for question in questions)


def test_another_style_has_no_value() -> None:
    with pytest.raises(ValueError, match="style"):
        _ = Question("q", "茶です。").value
