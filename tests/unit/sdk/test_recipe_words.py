"""Recipes from words, mappings and files."""

from pathlib import Path

import pytest
from aift.data.v1 import data_pb2
from aift.errors import AiftError
from aift.recipe import as_mapping, recipe_of


def test_options_become_steps() -> None:
    made = recipe_of(
        chunk="1000:100",
        to="alpaca",
        normalize="NFKC",
        redact="emails, phones,my_numbers",
        min_characters=5,
        drop_patterns=["秘密"],
        dedupe="near=0.9",
        split="validation=0.05,test=0.1",
        salt="s",
    )
    assert made == data_pb2.Recipe(
        chunking=data_pb2.Chunking(max_characters=1000, overlap_characters=100),
        form=data_pb2.ROW_FORM_INSTRUCTION,
        normalization=data_pb2.NORMALIZATION_NFKC,
        redaction=data_pb2.Redaction(emails=True, phone_numbers=True, my_numbers=True),
        filter=data_pb2.RowFilter(min_characters=5, drop_patterns=["秘密"]),
        deduplication=data_pb2.Deduplication(exact=True, near_threshold=0.9),
        split=data_pb2.Split(validation_share=0.05, test_share=0.1, salt="s"),
    )


def test_words_one_by_one_are_as_good_as_with_commas() -> None:
    made = recipe_of(redact=["emails", "phones,my-numbers"], split=["validation=0.05", "test=0.1"])
    assert made == recipe_of(redact="emails,phones,my-numbers", split="validation=0.05,test=0.1")


def test_what_is_not_asked_for_is_not_there() -> None:
    assert recipe_of() == data_pb2.Recipe()
    assert recipe_of(dedupe="exact") == data_pb2.Recipe(deduplication=data_pb2.Deduplication(exact=True))
    assert recipe_of(chunk=500).chunking.overlap_characters == 0


def test_a_mapping_goes_there_and_back(tmp_path: Path) -> None:
    made = recipe_of(to="messages", normalize="halfwidth-kana", dedupe=0.8, split={"test": 0.2}, chunk=(200, 20))
    assert recipe_of(as_mapping(made)) == made
    path = tmp_path / "recipe.yaml"
    path.write_text("form: messages\nnormalization: NFKC\nredaction: {emails: true}\n", encoding="utf-8")
    assert recipe_of(path, normalize="none").normalization == data_pb2.NORMALIZATION_NONE
    assert recipe_of(path).redaction.emails
    assert recipe_of({"form": "ROW_FORM_TEXT"}).form == data_pb2.ROW_FORM_TEXT


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        ({"chunks": 3}, {}, "INVALID_RECIPE"),
        ({"form": "table"}, {}, "UNKNOWN_VALUE"),
        ("/nowhere.yaml", {}, "FILE_NOT_FOUND"),
        (None, {"chunk": "many"}, "INVALID_RECIPE"),
        (None, {"redact": "names"}, "UNKNOWN_VALUE"),
        (None, {"split": "dev=0.1"}, "INVALID_RECIPE"),
        (None, {"split": "validation"}, "INVALID_RECIPE"),
        (None, {"dedupe": "close"}, "INVALID_RECIPE"),
    ],
)
def test_what_cannot_be_read_is_named(source: object, options: dict[str, object], reason: str) -> None:
    with pytest.raises(AiftError) as caught:
        recipe_of(source, **options)  # type: ignore[arg-type]
    assert caught.value.reason == reason
