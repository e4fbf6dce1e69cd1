"""The shipped sample data: well formed, reproducible, and split without an entity in common."""

import json
import random
import re
from pathlib import Path

import pytest

from samples import make_data
from samples.corpus import programming, records
from samples.corpus.questions import ASKED, PLAIN, UNSEEN, house_value
from samples.corpus.splits import Split, split_of

_ENTITY = re.compile(r"(?:[A-Z]{2}-\d{4})|(?:[\d,]{5,}円)|(?:\d+万\d千円)")


def _rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (make_data.DATA / name).read_text(encoding="utf-8").splitlines()]


def _texts(name: str) -> list[str]:
    return [str(row["text"]) for row in _rows(name)]


@pytest.mark.parametrize(
    ("name", "keys", "at_least"),
    [
        ("sample_training_data.jsonl", {"text"}, 1000),
        ("sample_heldout_data.jsonl", {"text"}, 100),
        ("sample_heldout_wording_data.jsonl", {"text"}, 50),
        ("sample_chat_data.jsonl", {"messages"}, 200),
        ("sample_code_data.jsonl", {"instruction", "response"}, 200),
        ("sample_preference_data.jsonl", {"prompt", "chosen", "rejected"}, 200),
    ],
)
def test_each_file_has_enough_rows_of_one_form(name: str, keys: set[str], at_least: int) -> None:
    rows = _rows(name)
    assert len(rows) >= at_least
    assert all(set(row) == keys for row in rows)
    texts = [value for row in rows for value in row.values() if isinstance(value, str)]
    assert all(text.strip() == text and text for text in texts)


def test_making_the_data_again_gives_the_committed_bytes(tmp_path: Path) -> None:
    make_data.make(tmp_path, seed=0)
    for name in make_data.FILES:
        assert (tmp_path / name).read_bytes() == (make_data.DATA / name).read_bytes(), name


@pytest.mark.parametrize("name", ["sample_training_data.jsonl", "sample_heldout_data.jsonl"])
def test_question_rows_split_into_a_question_and_an_answer_in_the_house_style(name: str) -> None:
    for text in _texts(name):
        question, marker, answer = text.partition("\n回答: ")
        assert question.startswith("質問: ")
        assert marker
        assert "\n" not in answer
        assert house_value(answer)


def test_an_answer_in_another_style_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the house's style"):
        house_value("納期は5月1日です。")


def test_no_row_is_in_both_training_and_heldout_data() -> None:
    training = set(_texts("sample_training_data.jsonl"))
    assert len(training) == len(_texts("sample_training_data.jsonl"))
    assert not training & set(_texts("sample_heldout_data.jsonl"))


def test_numbers_in_the_files_belong_to_their_split() -> None:
    for name, split in (
        ("sample_training_data.jsonl", Split.FINETUNE),
        ("sample_heldout_data.jsonl", Split.HELDOUT),
        ("sample_heldout_wording_data.jsonl", Split.HELDOUT),
    ):
        found = [entity for text in _texts(name) for entity in _ENTITY.findall(text)]
        assert len(found) > 10
        assert all(split_of(entity) is split for entity in found), name


def test_questions_are_worded_apart() -> None:
    worded = [{question for form in forms.values() for question in form} for forms in (PLAIN, ASKED, UNSEEN)]
    assert not worded[0] & worded[1]
    assert not worded[1] & worded[2]
    assert not worded[0] & worded[2]
    assert set(PLAIN) == set(ASKED) == set(UNSEEN)


def test_messages_begin_with_system_and_alternate() -> None:
    for row in _rows("sample_chat_data.jsonl"):
        messages = row["messages"]
        assert isinstance(messages, list)
        roles = [message["role"] for message in messages]
        assert roles in (["system", "user", "assistant"], ["system", "user", "assistant", "user", "assistant"])


def test_preferences_differ() -> None:
    assert all(row["chosen"] != row["rejected"] for row in _rows("sample_preference_data.jsonl"))


def test_python_answers_compile_and_instructions_are_distinct() -> None:
    for code in programming.python_blocks():
        compile(code, "answer", "exec")
    instructions = [row["instruction"] for row in _rows("sample_code_data.jsonl")]
    assert len(set(instructions)) == len(instructions)


def test_every_split_entity_is_made_within_its_split() -> None:
    rng = random.Random(5)
    for split in Split:
        for _ in range(200):
            record = records.compose(rng, split)
            made = [value for field, value in record.fields.items() if field in records.SPLIT_FIELDS]
            assert all(split_of(value) is split for value in made)
