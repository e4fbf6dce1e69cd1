"""The choices of a preparation, which the address keeps: a reload, a link or another version begins where they were."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TypeVar

import streamlit as st
from aift.data.v1 import data_pb2
from aift.reading import FORMS, form_word
from aift.recipe import NEAR_THRESHOLD, NORMALIZATIONS, REDACTIONS, RecipeOptions, as_mapping, recipe_of

from frontend import words_of_data as words
from frontend.session import say

_Number = TypeVar("_Number", int, float)
_IN_ADDRESS = "recipe"
_LONGEST = 1000
_MOST_CHARACTERS = 100_000
_NEAR = (0.55, 1.0)
_MOST_PERCENT = 50.0


def recipe_form() -> data_pb2.Recipe:
    """Choices, in the order in which they are carried out; as the address has them where nothing was chosen yet.

    Raises AiftError for an address that holds no recipe.
    """
    recipe = recipe_of(None, **_options(_in_address()))
    if recipe == data_pb2.Recipe():
        st.query_params.pop(_IN_ADDRESS, None)
    else:
        st.query_params[_IN_ADDRESS] = json.dumps(as_mapping(recipe), ensure_ascii=False, separators=(",", ":"))
    return recipe


def _in_address() -> data_pb2.Recipe:
    try:
        written = json.loads(st.query_params.get(_IN_ADDRESS, "{}"))
    except json.JSONDecodeError:
        written = None
    if isinstance(written, dict):
        return recipe_of(written)
    st.query_params.pop(_IN_ADDRESS, None)
    return data_pb2.Recipe()


def _begun(key: str, value: object) -> str:
    """The key of a field that begins with a value; what was chosen since stays."""
    st.session_state.setdefault(key, value)
    return key


def _options(asked: data_pb2.Recipe) -> RecipeOptions:
    left, middle, right = st.columns(3)
    options: RecipeOptions = {}
    with left:
        options["chunk"] = _chunk(asked)
        form = st.selectbox(
            say("行の形式を変換", "Convert to the form"),
            ["", *FORMS],
            format_func=lambda word: words.choice(word) if word else say("変換しない", "leave it"),
            key=_begun("prepare-form", form_word(asked.form)),
        )
        options["to"] = form or None
        known = {number: word for word, number in NORMALIZATIONS.items()}
        normalization = st.selectbox(
            say("文字の正規化", "Normalise characters"),
            list(NORMALIZATIONS),
            format_func=words.normalization,
            key=_begun("prepare-normalize", known.get(asked.normalization, "none")),
        )
        options["normalize"] = normalization if normalization != "none" else None
    with middle:
        options["redact"] = _redactions(asked.redaction)
        _filters(options, asked.filter)
    with right:
        options["dedupe"] = _duplicates(asked.deduplication)
        options["split"] = _split(asked.split)
        if options["split"]:
            options["salt"] = _salt(asked.split)
    return options


def _chunk(asked: data_pb2.Recipe) -> tuple[int, int] | None:
    begun = _begun("prepare-chunk", asked.HasField("chunking"))
    if not st.checkbox(say("長文を分割（継続事前学習用）", "Cut long texts"), key=begun):
        return None
    begun = _begun("chunk-longest", _within(asked.chunking.max_characters or _LONGEST, 1, _MOST_CHARACTERS))
    longest = int(st.number_input(say("最大文字数", "Longest chunk (characters)"), 1, _MOST_CHARACTERS, key=begun))
    begun = _begun("chunk-shared", _within(asked.chunking.overlap_characters, 0, longest // 2))
    return longest, int(st.number_input(say("重なり（文字）", "Overlap (characters)"), 0, longest // 2, key=begun))


def _redactions(asked: data_pb2.Redaction) -> list[str]:
    told = {
        "emails": say("メールアドレス → [EMAIL]", "e-mail addresses → [EMAIL]"),
        "phones": say("電話番号 → [PHONE]", "telephone numbers → [PHONE]"),
        "my-numbers": say("マイナンバー → [MY_NUMBER]", "My Numbers → [MY_NUMBER]"),
    }
    begun = _begun("prepare-redact", [word for word, field in REDACTIONS.items() if getattr(asked, field)])
    label = say("個人情報を伏せる", "Redact personal data")
    nothing = say("伏せない", "nothing")
    return st.multiselect(label, list(REDACTIONS), format_func=lambda word: told[word], placeholder=nothing, key=begun)


def _filters(options: RecipeOptions, asked: data_pb2.RowFilter) -> None:
    least = st.number_input(
        say("最小文字数（0 = 制限なし）", "Fewest characters (0: any)"),
        0,
        key=_begun("prepare-least", max(asked.min_characters, 0)),
    )
    most = st.number_input(
        say("最大文字数（0 = 制限なし）", "Most characters (0: any)"),
        0,
        key=_begun("prepare-most", max(asked.max_characters, 0)),
    )
    options["min_characters"] = int(least) or None
    options["max_characters"] = int(most) or None
    options["drop_patterns"] = _patterns(say("一致する行を除外", "Drop rows that match"), "drop", asked.drop_patterns)
    keep = say("一致する行だけ残す", "Keep only rows that match")
    options["keep_patterns"] = _patterns(keep, "keep", asked.keep_patterns)


def _patterns(label: str, word: str, asked: Iterable[str]) -> list[str]:
    help_text = say("正規表現を 1 行に 1 つ。", "Regular expressions, one a line.")
    written = st.text_area(label, height=68, help=help_text, key=_begun(f"prepare-{word}", "\n".join(asked)))
    return [line for line in written.splitlines() if line.strip()]


def _duplicates(asked: data_pb2.Deduplication) -> str | None:
    told = {
        "": say("そのまま", "leave them"),
        "exact": say("完全一致を除く", "drop exact ones"),
        "near": say("似た行も除く", "drop similar ones too"),
    }
    begun = "near" if asked.near_threshold else "exact" if asked.exact else ""
    chosen = st.selectbox(
        say("重複", "Repetitions"),
        list(told),
        format_func=lambda word: told[word],
        key=_begun("prepare-dedupe", begun),
    )
    if chosen != "near":
        return chosen or None
    begun_near = _begun("prepare-near", _within(asked.near_threshold or NEAR_THRESHOLD, *_NEAR))
    threshold = st.slider(say("似ている度合い", "Similarity"), *_NEAR, step=0.05, key=begun_near)
    return f"near={threshold:g}"


def _split(asked: data_pb2.Split) -> dict[str, float] | None:
    fields = {
        "validation": (say("検証用 (%)", "For validation (%)"), "split-valid", asked.validation_share),
        "test": (say("テスト用 (%)", "For testing (%)"), "split-test", asked.test_share),
    }
    shares = {}
    for name, (label, key, share) in fields.items():
        begun = _begun(key, _within(round(share * 100, 6), 0.0, _MOST_PERCENT))
        shares[name] = st.number_input(label, 0.0, _MOST_PERCENT, step=1.0, key=begun)
    return {name: share / 100 for name, share in shares.items() if share} or None


def _salt(asked: data_pb2.Split) -> str:
    help_text = say("別の値にすると、分割される行が変わります。", "Another one splits differently.")
    return st.text_input(say("分割のソルト", "Salt of the split"), help=help_text, key=_begun("split-salt", asked.salt))


def _within(value: _Number, least: _Number, most: _Number) -> _Number:
    """The nearest value that a field takes: an address may hold any."""
    return min(max(value, least), most)
