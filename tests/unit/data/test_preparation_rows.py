"""Steps that judge, convert and split rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.data_service.data_job import PreparationStep
from services.data_service.domain import ROWS_PATH, RowForm, Template, TrainOn
from services.data_service.errors import ConversionImpossible
from services.data_service.preparation.conversion import MARKERS, Converter, impossible
from services.data_service.preparation.filtering import Filter
from services.data_service.preparation.rows import Row, Shape, compact
from services.data_service.preparation.source import Source
from services.data_service.preparation.splitting import Side, Splitter
from services.data_service.preparation.steps import RowSteps
from services.data_service.recipe import Chunking, Normalization, Recipe, Redaction, RowFilter, Split
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.validator import validate

PAIR = {"instruction": "名前は？", "response": "花子"}
TEXT = {"text": "質問: 名前は？\n回答: 花子"}
PROMPT = {"prompt": "名前は？", "completion": "花子"}
MESSAGES = {"messages": [{"role": "user", "content": "名前は？"}, {"role": "assistant", "content": "花子"}]}
SHAREGPT = {"conversations": [{"from": "human", "value": "名前は？"}, {"from": "gpt", "value": "花子"}]}
SAME: dict[RowForm, dict[str, Any]] = {
    RowForm.INSTRUCTION: PAIR,
    RowForm.TEXT: TEXT,
    RowForm.PROMPT_COMPLETION: PROMPT,
    RowForm.MESSAGES: MESSAGES,
    RowForm.CONVERSATIONS: SHAREGPT,
}
LONG = {
    "messages": [
        {"role": "system", "content": "丁寧に。"},
        {"role": "user", "content": "一"},
        {"role": "assistant", "content": "二"},
        {"role": "user", "content": "三"},
        {"role": "assistant", "content": "四"},
    ]
}


def shape(form: RowForm) -> Shape:
    return Shape(form, MARKERS if form is RowForm.TEXT else None)


def row(value: dict[str, Any], number: int = 1) -> Row:
    return Row(number, number, compact(value), value)


def converted(value: dict[str, Any], source: RowForm, target: RowForm) -> list[dict[str, Any]]:
    made = Converter(shape(source), target).convert(row(value))
    assert [json.loads(one.json) for one in made] == [one.value for one in made]
    return [one.value for one in made]


@pytest.mark.parametrize("target", SAME)
@pytest.mark.parametrize("source", SAME)
def test_single_turns_go_everywhere(source: RowForm, target: RowForm) -> None:
    if source is not target:
        assert converted(SAME[source], source, target) == [SAME[target]]


def test_an_input_joins_the_prompt() -> None:
    value = {"instruction": "訳せ", "input": "dog", "output": "犬"}
    assert converted(value, RowForm.INSTRUCTION, RowForm.PROMPT_COMPLETION) == [
        {"prompt": "訳せ\n\ndog", "completion": "犬"}
    ]


def test_longer_conversations() -> None:
    to_prompt = {"prompt": LONG["messages"][:-1], "completion": LONG["messages"][-1:]}
    assert converted(LONG, RowForm.MESSAGES, RowForm.PROMPT_COMPLETION) == [to_prompt]
    assert converted(to_prompt, RowForm.PROMPT_COMPLETION, RowForm.MESSAGES) == [LONG]
    (sharegpt,) = converted(LONG, RowForm.MESSAGES, RowForm.CONVERSATIONS)
    assert [turn["from"] for turn in sharegpt["conversations"]] == ["system", "human", "gpt", "human", "gpt"]
    assert converted(sharegpt, RowForm.CONVERSATIONS, RowForm.MESSAGES) == [LONG]


def test_transcripts_are_made_where_prompts_are_trained_too() -> None:
    template = Template(form=RowForm.MESSAGES, train_on=TrainOn.ALL)
    (made,) = Converter(Shape.of(template), RowForm.TEXT).convert(row(LONG))
    assert made.value["text"].startswith("システム: 丁寧に。\nユーザー: 一\nアシスタント: 二\n")


@pytest.mark.parametrize(
    ("value", "source", "target", "why"),
    [
        (LONG, RowForm.MESSAGES, RowForm.INSTRUCTION, "system message"),
        ({"messages": LONG["messages"][1:]}, RowForm.MESSAGES, RowForm.INSTRUCTION, "more than one question"),
        (LONG, RowForm.MESSAGES, RowForm.TEXT, "all of its turns would be trained"),
        ({"messages": LONG["messages"][:3]}, RowForm.MESSAGES, RowForm.TEXT, "Convert to PROMPT_COMPLETION"),
        ({"text": "ただの文章"}, RowForm.TEXT, RowForm.INSTRUCTION, "no markers"),
        ({"prompt": "A\n回答: B", "completion": "C"}, RowForm.PROMPT_COMPLETION, RowForm.TEXT, "marker"),
    ],
)
def test_what_would_be_lost_is_refused(value: dict[str, Any], source: RowForm, target: RowForm, why: str) -> None:
    with pytest.raises(ConversionImpossible) as refused:
        Converter(shape(source), target).convert(row(value, number=7))
    assert refused.value.params["row"] == 7
    assert why in refused.value.text("en")
    assert "7 行目" in refused.value.text("ja")


def test_answers_that_are_judged() -> None:
    preference = {"prompt": "q", "chosen": "a", "rejected": "b"}
    assert converted(preference, RowForm.PREFERENCE, RowForm.PROMPT_COMPLETION) == [{"prompt": "q", "completion": "a"}]
    assert converted(preference, RowForm.PREFERENCE, RowForm.LABELED) == [
        {"prompt": "q", "completion": "a", "label": True},
        {"prompt": "q", "completion": "b", "label": False},
    ]
    for label, made in ((True, [{"prompt": "q", "completion": "a"}]), (False, [])):
        labeled = {"prompt": "q", "completion": "a", "label": label}
        assert converted(labeled, RowForm.LABELED, RowForm.PROMPT_COMPLETION) == made


def test_further_fields_stay() -> None:
    value = {**PAIR, "id": 3, "prompt": "old"}
    assert converted(value, RowForm.INSTRUCTION, RowForm.PROMPT_COMPLETION) == [{**PROMPT, "id": 3}]


def test_forms_that_no_row_can_get() -> None:
    plain = Shape(RowForm.TEXT)
    for source, target in (
        (plain, RowForm.MESSAGES),
        (shape(RowForm.MESSAGES), RowForm.PREFERENCE),
        (shape(RowForm.PROMPT_COMPLETION), RowForm.LABELED),
    ):
        found = impossible(source, target)
        assert found is not None
        assert found.field == "recipe.form"
    assert impossible(plain, RowForm.TEXT) is None
    assert impossible(plain, RowForm.DETECT) is None
    assert impossible(shape(RowForm.PREFERENCE), RowForm.LABELED) is None


@pytest.mark.parametrize(
    ("how", "texts", "stays"),
    [
        (RowFilter(min_characters=4), ("ab", "cd"), True),
        (RowFilter(min_characters=5), ("ab", "cd"), False),
        (RowFilter(max_characters=4), ("ab", "cd"), True),
        (RowFilter(max_characters=3), ("ab", "cd"), False),
        (RowFilter(drop_patterns=["^c", "x"]), ("ab", "cd"), False),
        (RowFilter(drop_patterns=["^d"]), ("ab", "cd"), True),
        (RowFilter(keep_patterns=[r"\p{Han}"]), ("ab", "漢"), True),
        (RowFilter(keep_patterns=[r"\p{Han}", "z"]), ("ab", "cd"), False),
    ],
)
def test_filters(how: RowFilter, texts: tuple[str, ...], stays: bool) -> None:
    assert Filter(how).stays(texts) is stays


def test_a_pattern_that_takes_too_long() -> None:
    judge = Filter(RowFilter(drop_patterns=["(a|aa)+$"]), row_seconds=0.05)
    assert judge.stays(["bbb"])
    assert not judge.stays(["a" * 200 + "b"])
    assert judge.late == {"drop_patterns[0]": 1}


def test_steps_and_their_counts() -> None:
    recipe = Recipe(
        form=RowForm.MESSAGES,
        normalization=Normalization.HALFWIDTH_KANA,
        redaction=Redaction(emails=True),
        filter=RowFilter(min_characters=5),
    )
    steps = RowSteps(recipe, shape(RowForm.INSTRUCTION))
    made = [
        steps.apply(row({"instruction": "ﾒｰﾙは？", "response": "a@b.jp です"})),
        steps.apply(row({"instruction": "は", "response": "い"})),
        steps.apply(row({"instruction": "長い質問です", "response": "はい"})),
    ]
    assert [len(rows) for rows in made] == [1, 0, 1]
    assert made[0][0].value["messages"] == [
        {"role": "user", "content": "メールは？"},
        {"role": "assistant", "content": "[EMAIL] です"},
    ]
    assert steps.shape == Shape(RowForm.MESSAGES)
    assert steps.counts() == [
        PreparationStep(name="conversion", rows_in=3, rows_out=3, changed_rows=3),
        PreparationStep(name="normalization", rows_in=3, rows_out=3, changed_rows=1),
        PreparationStep(name="redaction", rows_in=3, rows_out=3, changed_rows=1),
        PreparationStep(name="filter", rows_in=3, rows_out=2, changed_rows=0),
    ]


def test_rows_that_take_too_long_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.data_service.preparation.filtering.ROW_SECONDS", 0.05)
    steps = RowSteps(Recipe(filter=RowFilter(drop_patterns=["(a|aa)+$", "x"])), Shape(RowForm.TEXT))
    for text in ("a" * 200 + "b", "x", "ok"):
        steps.apply(row({"text": text}))
    assert [(step.name, step.rows_in, step.rows_out) for step in steps.counts()] == [
        ("filter.timeout", 3, 2),
        ("filter", 2, 1),
    ]


def test_markers_are_normalised_with_the_rows() -> None:
    steps = RowSteps(Recipe(normalization=Normalization.NFKC, filter=RowFilter(max_characters=4)), shape(RowForm.TEXT))
    (made,) = steps.apply(row({"text": "質問： ｱｲ\n回答： ｳ"}))
    assert made.value["text"] == "質問: アイ\n回答: ウ"
    assert steps.shape.contents(made.value) == ("アイ", "ウ")


def test_pieces_of_a_text_are_held_out_together() -> None:
    recipe = Recipe(chunking=Chunking(max_characters=12), normalization=Normalization.NFKC)
    steps = RowSteps(recipe, Shape(RowForm.TEXT))
    splitter = Splitter(Split(validation_share=0.3, test_share=0.3))
    seen = set()
    for number in range(200):
        pieces = steps.apply(row({"text": f"これは{number}番目です。" * 5}))
        assert len(pieces) == 5
        (found,) = {side(splitter, piece, steps.shape) for piece in pieces}
        seen.add(found)
    assert seen == set(Side)
    (counts,) = (step for step in steps.counts() if step.name == "chunking")
    assert (counts.rows_in, counts.rows_out, counts.changed_rows) == (200, 1000, 200)


def side(splitter: Splitter, one: Row, read: Shape) -> Side:
    return splitter.side(one, read.contents(one.value), read.form)


def sides(texts: list[str], how: Split) -> dict[str, Side]:
    splitter = Splitter(how)
    return {text: side(splitter, row({"text": text}), Shape(RowForm.TEXT)) for text in texts}


@given(st.lists(st.text(min_size=1), max_size=20), st.lists(st.text(min_size=1), max_size=20), st.text(max_size=5))
def test_a_row_never_moves_when_data_are_added(first: list[str], more: list[str], salt: str) -> None:
    how = Split(validation_share=0.3, test_share=0.2, salt=salt)
    before, after = sides(first, how), sides([*more, *first], how)
    assert {text: after[text] for text in before} == before


@given(st.lists(st.text(min_size=1), max_size=40), st.floats(0, 0.25), st.floats(0, 0.25))
def test_larger_shares_take_from_training_only(texts: list[str], validation: float, test: float) -> None:
    small = sides(texts, Split(validation_share=validation, test_share=test))
    large = sides(texts, Split(validation_share=2 * validation, test_share=2 * test))
    for text, side in small.items():
        assert side in (large[text], Side.KEPT)


def test_shares_are_about_what_was_asked() -> None:
    found = list(sides([f"行 {i}" for i in range(4000)], Split(validation_share=0.1, test_share=0.2)).values())
    assert found.count(Side.VALIDATION) == pytest.approx(400, abs=80)
    assert found.count(Side.TEST) == pytest.approx(800, abs=100)
    assert set(sides(["a", "b"], Split()).values()) == {Side.KEPT}
    other = list(
        sides([f"行 {i}" for i in range(4000)], Split(validation_share=0.1, test_share=0.2, salt="x")).values()
    )
    assert other != found


def test_form_and_further_fields_do_not_move_a_row() -> None:
    splitter = Splitter(Split(validation_share=0.4, test_share=0.4))
    for number in range(50):
        pair = {"instruction": f"問{number}", "response": "答"}
        found = {side(splitter, row({**pair, "id": extra}), shape(RowForm.INSTRUCTION)) for extra in range(5)}
        for target in SAME:
            if target is not RowForm.INSTRUCTION:
                (made,) = Converter(shape(RowForm.INSTRUCTION), target).convert(row(pair))
                found.add(side(splitter, made, shape(target)))
        assert len(found) == 1


def test_answers_to_one_prompt_stay_together() -> None:
    splitter = Splitter(Split(validation_share=0.4, test_share=0.4))
    for number in range(30):
        found = {
            side(
                splitter,
                row({"prompt": f"問{number}", "completion": answer, "label": answer == "a"}),
                shape(RowForm.LABELED),
            )
            for answer in "abc"
        }
        assert len(found) == 1


def test_rows_are_written_as_the_check_writes_them(tmp_path: Path) -> None:
    values: list[dict[str, Any]] = [
        {"text": "あ", "z": 1e16, "a": [1.0, -0.0, 1e-7, None, True]},
        {"text": "い", "\U0001f600": "😀", "\uffff": {"b": 2**63, "a": "\u2028"}},
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))
    validate(ValidationRequest(input_file=str(source), output_dir=str(tmp_path)), lambda _: None)
    with Source(tmp_path / ROWS_PATH) as rows:
        for stored in rows:
            assert stored.json == compact(stored.value, sort_keys=True)
