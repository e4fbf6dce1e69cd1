"""Names and ids, and what is not one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core import names
from services.core.errors import InvalidArgument

VERSION = "datasets/{d}/versions/{n}"
BAD_IDS = [
    "",
    "-a",
    "a-",
    "A",
    "a_b",
    "a.b",
    "..",
    "../x",
    "a/b",
    "a\0",
    "\0",
    "a\n",
    "é",
    "あ",
    "a" * 64,
    "%2e%2e",
    " a",
]


def test_parse() -> None:
    assert names.parse("datasets/{d}", "datasets/my-data") == {"d": "my-data"}
    assert names.parse(VERSION, "datasets/a/versions/12") == {"d": "a", "n": "12"}
    assert names.parse("models/{m}@{alias}", "models/m1@production") == {"m": "m1", "alias": "production"}
    assert names.parse("t/{j}/checkpoints/{step}", "t/j/checkpoints/0") == {"j": "j", "step": "0"}
    assert names.build(VERSION, d="a", n=3) == "datasets/a/versions/3"
    assert names.matches(VERSION, "datasets/a/versions/1")
    assert not names.matches(VERSION, "datasets/a")


@pytest.mark.parametrize("bad", BAD_IDS)
def test_bad_ids(bad: str) -> None:
    for name in (f"datasets/{bad}", f"datasets/{bad}/versions/1"):
        with pytest.raises(InvalidArgument) as caught:
            names.parse(VERSION if "versions" in name else "datasets/{d}", name, field="dataset")
        assert caught.value.violations[0].field == "dataset"
    with pytest.raises(InvalidArgument):
        names.check_id(bad, field="dataset_id")


@pytest.mark.parametrize(
    "bad", ["datasets/a/versions/0", "datasets/a/versions/01", "datasets/a/versions/-1", "datasets/a/versions/１",
            "datasets/a/versions/1\n", "datasets/a/versions/" + "9" * 30, "x/datasets/a/versions/1",
            "datasets/../versions/1", "datasets/a/versions/1/", "models/a/versions/1"]
)  # fmt: skip
def test_bad_names(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        names.parse(VERSION, bad)


def test_what_is_shown_is_bounded_and_printable() -> None:
    with pytest.raises(InvalidArgument) as caught:
        names.parse("datasets/{d}", "datasets/\0" + "x" * 5000)
    text = caught.value.violations[0].en
    assert len(text) < 250
    assert "\0" not in text


@given(st.text())
def test_slugs_are_ids(text: str) -> None:
    assert names.check_id(names.slug(text, fallback="data"), field="id")


def test_slug() -> None:
    assert names.slug("My Data (2025)", fallback="x") == "my-data-2025"
    assert names.slug("社内文書", fallback="ds-1") == "ds-1"


def test_new_ids_are_ids_and_differ() -> None:
    made = {names.new_id("up-") for _ in range(100)}
    assert len(made) == 100
    assert all(names.check_id(one, field="id") for one in made)
    assert names.new_uid() != names.new_uid()


def test_display_text() -> None:
    assert names.check_text("社内データ 第1版 🎌", field="display_name")
    for bad in ("a\0", "\x1b[31m", "a" * 201):
        with pytest.raises(InvalidArgument):
            names.check_text(bad, field="display_name")
