"""Regular expressions that cannot be searched for, and what is said of them."""

from __future__ import annotations

import re

import pytest

from services.data_service.patterns import MAX_CHARACTERS, misfit

_ENGLISH = re.compile(r"[a-z]{3,}")


@pytest.mark.parametrize("pattern", [r"\p{Han}+", "(?i)abc", "（", "a{2,3}", "^質問[:：]", "a" * MAX_CHARACTERS])
def test_patterns_that_can_be_searched_for(pattern: str) -> None:
    assert misfit("recipe.filter.drop_patterns[0]", pattern) is None


@pytest.mark.parametrize(
    ("pattern", "place", "said_ja"),
    [
        ("問(答", 4, "閉じ括弧 ) がありません"),
        ("a)", 2, "開き括弧"),
        ("[あ-", 4, "] がありません"),
        ("*", 1, "繰り返すものがありません"),
        ("あ**", 3, "続いています"),
        ("a{2,1}", 3, "最大回数"),
        ("\\", 2, "末尾の \\"),
        ("[z-a]", 5, "順序が逆"),
        (r"\p{Kanji}", 10, "名前が正しくありません"),
        ("(?P=x)", 4, "その名前のグループ"),
        ("(あ)\\2", 6, "その番号のグループ"),
        ("a{99999999999}", 3, "大きすぎます"),
    ],
)
def test_the_cause_is_told_in_both_languages(pattern: str, place: int, said_ja: str) -> None:
    found = misfit("recipe.filter.keep_patterns[1]", pattern)
    assert found is not None
    assert (found.field, found.reason) == ("recipe.filter.keep_patterns[1]", "INVALID_PATTERN")
    assert found.en.startswith(f"{pattern} is no regular expression: ")
    assert f"at character {place}." in found.en
    assert f"（{place} 文字目: " in found.ja
    assert said_ja in found.ja
    assert not _ENGLISH.search(found.ja.removeprefix(pattern))


@pytest.mark.parametrize("pattern", ["\\x1", "(?V0)(?V1)"])
def test_words_of_the_engine_that_are_not_known_are_quoted(pattern: str) -> None:
    found = misfit("f", pattern)
    assert found is not None
    assert "原文: " in found.ja
    assert found.ja.endswith("前に \\ を付けます。")


def test_patterns_that_would_take_the_service_long_are_refused() -> None:
    nested = misfit("f", "(" * 500 + ")" * 500)
    long = misfit("f", "a" * (MAX_CHARACTERS + 1))
    assert nested is not None
    assert ("nested too deeply" in nested.en, "入れ子" in nested.ja) == (True, True)
    assert long is not None
    assert (long.reason, str(MAX_CHARACTERS) in long.en, str(MAX_CHARACTERS + 1) in long.ja) == (
        "OUT_OF_BOUNDS",
        True,
        True,
    )
